import { ConfigurationError } from '../errors.ts'

/** For a transaction that the database had given up, or ended, before its COMMIT. */
export function endedEarly(): ConfigurationError {
  return new ConfigurationError(
    'The transaction had ended before its commit. Either one of its statements failed (a deadlock, an error of PostgreSQL) and the app caught the error: then all of it is rolled back, with what was submitted in it; let errors leave storage.transaction(), or use a savepoint around what may fail. Or, on MySQL, a statement such as CREATE TABLE has committed it.',
  )
}
