import { ConfigurationError } from '../errors/errors.ts'
import type { Database } from './database.ts'
import { readErrorNumber } from './driver-errors.ts'
import {
  createMysqlExecutor,
  isTransactionOpen,
  readTransactionStatus,
  type MysqlConnection,
  type MysqlPool,
} from './mysql-client.ts'
import { destroyConnection, MysqlConnections } from './mysql-pool.ts'

export type { MysqlConnection, MysqlPool, MysqlPoolConnection } from './mysql-client.ts'

/**
 * Numbers of the errors deadlock, lock time-out, and MariaDB's "record has changed since last
 * read".
 */
const TRANSIENT_ERRORS: readonly number[] = [1213, 1205, 1020]
const DUPLICATE_KEY = 1062

/**
 * Creates a `database` on MySQL 8 or MariaDB 10.6: over a pool of `mariadb` or `mysql2/promise`, or
 * a URL (opened with `mariadb`). A transaction object is a connection with a transaction open.
 * Throws ConfigurationError without a URL, or for one that cannot be read.
 *
 * @example
 * const database = mysql(process.env.DATABASE_URL)
 */
export function mysql(database: string | undefined | MysqlPool): Database<MysqlConnection> {
  const connections = new MysqlConnections(database)
  return {
    findsRecords: false,
    dialect: 'mysql',
    writeConcurrency: 3,
    executor: {
      run: (sql, parameters) =>
        connections.use((connection) => createMysqlExecutor(connection).run(sql, parameters)),
    },
    // MySQL and MariaDB take the same statements. To ask which one it is would need a connection,
    // and all may be in transactions that wait for this call.
    open: () => Promise.resolve('mysql'),
    transaction: (run) =>
      connections.use(async (connection, discard) => {
        await connection.query('set transaction isolation level read committed')
        await connection.query('start transaction')
        try {
          const result = await run({ tx: connection, executor: createMysqlExecutor(connection) })
          await connection.query('commit')
          return result
        } catch (error) {
          await connection.query('rollback').catch(discard)
          throw error
        }
      }),
    join(tx) {
      checkTransaction(tx)
      return createMysqlExecutor(tx)
    },
    hasEnded: async (tx) => !(await isTransactionOpen(tx)),
    isTransient: (error) => TRANSIENT_ERRORS.includes(readErrorNumber(error)),
    isUniqueViolation: (error) => readErrorNumber(error) === DUPLICATE_KEY,
    async reserve() {
      if (!connections.isOwn) return null
      const connection = await connections.take()
      return {
        executor: createMysqlExecutor(connection),
        release: async () => void (await connection.release()),
        destroy: () => destroyConnection(connection),
      }
    },
    close: () => connections.close(),
  }
}

/**
 * Throws ConfigurationError for a pool, and for a connection that the driver knows to be in no
 * transaction.
 */
function checkTransaction(tx: MysqlConnection | undefined): void {
  if (typeof tx?.execute !== 'function' || 'getConnection' in tx)
    throw new ConfigurationError(
      '{ transaction } must be the connection that START TRANSACTION was sent on, not the pool.',
    )
  if (readTransactionStatus(tx) === 'closed')
    throw new ConfigurationError(
      'No transaction is open on the connection: send START TRANSACTION first, or leave { transaction } out.',
    )
}
