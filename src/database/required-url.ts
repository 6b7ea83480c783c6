import { ConfigurationError } from '../errors/errors.ts'

/** What an environment variable gives is often nothing; better told at start-up than by a driver's guess of a host. */
export function requireUrl(caller: string, example: string, url: unknown): string {
  if (typeof url !== 'string' || url === '')
    throw new ConfigurationError(
      `${caller}: the url is ${url === undefined || url === '' ? 'missing: is its environment variable set?' : `no text but ${typeof url}.`} Such as ${example}.`,
    )
  return url
}

/** For a pool, and for what may be taken for one. */
export function requirePool<T extends object>(caller: string, method: string, pool: T): T {
  if (
    typeof pool !== 'object' ||
    pool === null ||
    typeof (pool as Readonly<Record<string, unknown>>)[method] !== 'function'
  )
    throw new ConfigurationError(
      `${caller}: pass a url, or a pool: what was passed has no ${method}().`,
    )
  return pool
}
