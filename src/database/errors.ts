import { ConfigurationError } from '../errors/errors.ts'

/** For a row that was inserted and is not found by the same connection's next statement. */
export function createNotReadError(what: string): ConfigurationError {
  return new ConfigurationError(
    `${what} was inserted, and is not there when it is read. Where a proxy splits reads from writes, connect past it, to the primary.`,
  )
}
