import { types } from 'node:util'
import { ActiveStorageError, ServiceUnavailableError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'

/** Node's error codes of a host that cannot be reached or a connection that was closed. */
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

/** Number of errors of a chain of causes that are read. A chain may have a cycle. */
const MAX_CAUSES = 5

/** Returns true when an error, or one of its causes, says that the other side cannot be reached. */
export function isUnreachableError(error: unknown): boolean {
  for (
    let each = error, depth = 0;
    types.isNativeError(each) && depth < MAX_CAUSES;
    each = each.cause, depth += 1
  )
    if ('code' in each && connectionErrorCodes.has(String(each.code))) return true
  return false
}

/**
 * Turns a connection error of an app's own service into ServiceUnavailableError, and returns every
 * other error as it is.
 */
export function toUnavailableError(error: unknown, name: string): unknown {
  if (error instanceof ActiveStorageError || !isUnreachableError(error)) return error
  return new ServiceUnavailableError(`The service ${name} cannot be reached: ${messageOf(error)}`, {
    cause: error,
  })
}

/**
 * Returns true when a service, or what a hook or `findRecord` calls, cannot be reached: the file
 * itself is not at fault.
 */
export function isOutage(error: unknown): boolean {
  return error instanceof ServiceUnavailableError || isUnreachableError(error)
}
