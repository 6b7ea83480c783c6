import { ConfigurationError } from '../errors/errors.ts'

/**
 * For a transaction that the database had given up, or ended, before its COMMIT. Either a statement failed (a deadlock, an error
 * of PostgreSQL) and the app caught the error: then all of it is rolled back, with what was submitted in it. Or, on MySQL, a
 * statement such as CREATE TABLE has committed it.
 */
export function createEndedEarlyError(): ConfigurationError {
  return new ConfigurationError(
    'The transaction had ended before its commit: a statement failed and its error was caught, or MySQL committed it (CREATE TABLE). Let errors leave storage.transaction(), or use a savepoint.',
  )
}
