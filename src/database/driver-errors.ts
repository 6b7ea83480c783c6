import { ConfigurationError, InvalidInputError } from '../errors/errors.ts'

/** The fields that drivers put on their errors. */
interface DriverError {
  /** PostgreSQL: the SQLSTATE. */
  readonly code?: unknown
  /** MySQL and MariaDB: the number of the error. */
  readonly errno?: unknown
  readonly message?: unknown
}

const toDriverError = (error: unknown): DriverError =>
  typeof error === 'object' && error !== null ? error : {}

/** Reads the SQLSTATE of an error of PostgreSQL; '' where it has none. */
export function readErrorCode(error: unknown): string {
  const { code } = toDriverError(error)
  return typeof code === 'string' ? code : ''
}

/** Reads the number of an error of MySQL or MariaDB; NaN where it has none. */
export function readErrorNumber(error: unknown): number {
  return Number(toDriverError(error).errno)
}

/** Throws a driver's error again, or an error of the library that says what to do. */
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

const UNDEFINED_TABLE = '42P01'
const UNDEFINED_COLUMN = '42703'
const NO_SUCH_TABLE = 1146
const BAD_FIELD = 1054

/** Returns whether an error says that a table or a column does not exist. */
function isMissingTable(error: unknown): boolean {
  return (
    [UNDEFINED_TABLE, UNDEFINED_COLUMN].includes(readErrorCode(error)) ||
    [NO_SUCH_TABLE, BAD_FIELD].includes(readErrorNumber(error)) ||
    /no such (table|column): |has no column named /.test(String(toDriverError(error).message))
  )
}

/**
 * Returns whether an error says that a character does not fit the character set of its column.
 * MySQL says 1366 when it writes the text, which is its number for other values too, and 1267, 1270
 * or 1271 when it compares a column with it. PostgreSQL says 22P05.
 */
function isUnstorable(error: unknown): boolean {
  const number = readErrorNumber(error)
  if (number === 1366) return /Incorrect string value/.test(String(toDriverError(error).message))
  return readErrorCode(error) === '22P05' || [1267, 1270, 1271].includes(number)
}
