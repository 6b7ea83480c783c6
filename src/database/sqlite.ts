import { DatabaseSync } from 'node:sqlite'
import { ConfigurationError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import type { Database } from './database.ts'
import { SqliteConnection, type SqliteHandle } from './sqlite-connection.ts'
import { isBusy } from './sqlite-queue.ts'

export type { SqliteHandle } from './sqlite-connection.ts'

/**
 * Creates a `database` on SQLite: a path (opened with node:sqlite in WAL mode), or the app's own
 * handle of node:sqlite or better-sqlite3. Pass the handle if the app has the file open: two SQLite
 * libraries on one file in one process lose acknowledged rows. A transaction object is the handle
 * itself. Throws ConfigurationError for anything else.
 */
export function sqlite<D extends string | SqliteHandle>(
  database: D,
): Database<D extends string ? DatabaseSync : D> {
  const isPath = typeof database === 'string'
  if (isPath ? database === '' : typeof database?.prepare !== 'function')
    throw new ConfigurationError(
      'sqlite(): pass the path of a file, or a handle of node:sqlite or better-sqlite3.',
    )
  const connection = new SqliteConnection<SqliteHandle>(database, openFile)
  return createSqliteDatabase(connection) as unknown as Database<
    D extends string ? DatabaseSync : D
  >
}

function openFile(path: string): DatabaseSync {
  const handle = new DatabaseSync(path, { timeout: 0 })
  handle.exec('pragma journal_mode = wal')
  handle.exec('pragma synchronous = full')
  handle.exec('pragma foreign_keys = on')
  return handle
}

function createSqliteDatabase(connection: SqliteConnection<SqliteHandle>): Database<SqliteHandle> {
  return {
    findsRecords: false,
    dialect: 'sqlite',
    executor: connection.executor,
    writeConcurrency: 1,
    returning: true,
    open: () => {
      connection.open()
      return Promise.resolve('sqlite')
    },
    transaction: (run) =>
      connection.transaction(() =>
        run({ tx: connection.handle, executor: connection.transactionExecutor }),
      ),
    join(tx) {
      if (tx !== connection.handle)
        throw new ConfigurationError(
          'The transaction is on another SQLite handle: pass that handle to sqlite() as the database.',
        )
      if (!connection.isTransactionOpen())
        throw new ConfigurationError(
          'No transaction is open on the SQLite handle: BEGIN first, or leave { transaction } out.',
        )
      return connection.transactionExecutor
    },
    isTransient: isBusy,
    isUniqueViolation: (error) => /UNIQUE constraint/.test(messageOf(error)),
    close() {
      connection.close()
      return Promise.resolve()
    },
  }
}
