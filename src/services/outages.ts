import { types } from 'node:util'
import { ActiveStorageError, ServiceUnavailableError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'

/** Of Node's errors: nobody answers there, or the way there is closed. */
const connectionErrorCodes: ReadonlySet<string> = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTCONN',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
])

/** Whether an error, or what caused it, says that the other side cannot be reached. */
export function isUnreachableError(error: unknown): boolean {
  for (
    let each = error, depth = 0;
    types.isNativeError(each) && depth < 5;
    each = each.cause, depth += 1
  )
    if ('code' in each && connectionErrorCodes.has(String(each.code))) return true
  return false
}

/** What a service of an app's own throws when it cannot be reached; every other error as it is. */
export function toUnavailableError(error: unknown, name: string): unknown {
  if (error instanceof ActiveStorageError || !isUnreachableError(error)) return error
  return new ServiceUnavailableError(`The service ${name} cannot be reached: ${messageOf(error)}`, {
    cause: error,
  })
}

/** Whether something is away as a whole: a service, or what a hook or `findRecord` asks. It is not the file's fault. */
export function isOutage(error: unknown): boolean {
  return error instanceof ServiceUnavailableError || isUnreachableError(error)
}
