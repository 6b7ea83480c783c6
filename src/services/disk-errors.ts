import { types } from 'node:util'
import { ServiceError, ServiceUnavailableError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { isUnreachableError } from './outages.ts'

/**
 * Codes of a disk that is away as a whole, or of a process without free descriptors. The file is
 * not at fault.
 */
const outageCodes: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENODEV',
  'ENOLINK',
  'ENXIO',
  'EROFS',
  'ESTALE',
])

/** Returns true for the error of a file or folder that does not exist. */
export function isMissingFile(error: unknown): boolean {
  return isSystemError(error) && error.code === 'ENOENT'
}

/**
 * Turns an error of the file system into ServiceError or ServiceUnavailableError, and returns every
 * other error as it is.
 */
export function toDiskError(key: string, error: unknown): unknown {
  if (!isSystemError(error)) return error
  const { code = '' } = error
  const text =
    `The disk service failed for ${key}: ${messageOf(error)} ${toDiskAdvice(code)}`.trim()
  return outageCodes.has(code) || isUnreachableError(error)
    ? new ServiceUnavailableError(text, { cause: error })
    : new ServiceError(text, { cause: error })
}

function toDiskAdvice(code: string): string {
  if (code === 'ENOSPC') return 'The disk is full.'
  if (code === 'EACCES' || code === 'EPERM')
    return 'The process may not write there: check the owner of the folder.'
  return ''
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return types.isNativeError(error) && 'syscall' in error
}
