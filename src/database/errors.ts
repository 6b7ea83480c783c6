import { ConfigurationError } from '../errors/errors.ts'

/**
 * Creates the error for a transaction that the database rolled back or committed before its COMMIT.
 * Either a statement failed and the app caught the error, so that everything in it is rolled back,
 * or a statement such as CREATE TABLE committed it (MySQL).
 */
export function createEndedEarlyError(): ConfigurationError {
  return new ConfigurationError(
    'The transaction ended before its commit: a failed statement was caught, or CREATE TABLE committed it (MySQL). Let errors leave storage.transaction(), or use a savepoint.',
  )
}

/**
 * Creates the error for a row that was inserted, and that the next statement of the same connection
 * does not find.
 */
export function createNotReadError(what: string): ConfigurationError {
  return new ConfigurationError(
    `${what} was inserted, but a read does not find it. If a proxy sends reads to a replica, connect to the primary.`,
  )
}

/**
 * Returns the URL of a database. Throws ConfigurationError for anything but text: an environment
 * variable is often unset, and a driver would then connect to its default host.
 */
export function requireUrl(caller: string, example: string, url: unknown): string {
  if (url === undefined || url === '')
    throw new ConfigurationError(
      `${caller}: the url is missing: is its environment variable set? Pass a url such as ${example}.`,
    )
  if (typeof url !== 'string')
    throw new ConfigurationError(
      `${caller}: the url is of type ${typeof url}. Pass text such as ${example}.`,
    )
  return url
}

/**
 * Returns the pool. Throws ConfigurationError for an object without `method`, such as a client or
 * an empty setting.
 */
export function requirePool<T extends object>(
  caller: string,
  method: keyof T & string,
  pool: T,
): T {
  if (typeof pool !== 'object' || pool === null || typeof pool[method] !== 'function')
    throw new ConfigurationError(
      `${caller}: pass a url or a pool. The object passed has no ${method}().`,
    )
  return pool
}
