import { ConfigurationError, InvalidInputError } from '../errors/errors.ts'

/** Rethrows a driver's error; as one of ours where the error says what a person has to do. */
export function rethrowWithAdvice(error: unknown): never {
  if (isMissingTable(error))
    throw new ConfigurationError(
      'A table or a column of the library is not in the database. Run storage.migrate() at deployment, before anything else.',
      { cause: error },
    )
  if (isUnstorable(error))
    throw new InvalidInputError(
      'A text has a character that the character set of its column cannot hold. See "Old character sets" in docs/databases.md.',
      {
        cause: error,
        publicMessage: 'A text has a character that cannot be stored here. Use plain letters.',
      },
    )
  throw error
}

/** A table or column that is not there, as PostgreSQL, MySQL and SQLite say it. */
function isMissingTable(error: unknown): boolean {
  const { code, errno, message } = error as { code?: unknown; errno?: unknown; message?: unknown }
  return (
    code === '42P01' ||
    code === '42703' ||
    errno === 1146 ||
    errno === 1054 ||
    /no such (table|column): |has no column named /.test(String(message))
  )
}

/**
 * MySQL says 1366 when it writes such a text, which is its number for other values too, and 1267, 1270 or 1271 when it
 * compares a column with it. PostgreSQL says 22P05.
 */
function isUnstorable(error: unknown): boolean {
  const { code, errno, message } = error as { code?: unknown; errno?: unknown; message?: unknown }
  if (errno === 1366) return /Incorrect string value/.test(String(message))
  return code === '22P05' || [1267, 1270, 1271].includes(Number(errno))
}
