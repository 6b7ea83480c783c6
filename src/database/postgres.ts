import pg from 'pg'
import { ConfigurationError } from '../errors/errors.ts'
import { requireVersion } from '../options/require-version.ts'
import type { Database } from './database.ts'
import { readErrorCode } from './driver-errors.ts'
import { createEndedEarlyError } from './errors.ts'
import type { Parameter, Result } from './executor.ts'
import { copyChunks } from './postgres-copy.ts'
import { PostgresListener } from './postgres-listener.ts'
import {
  POSTGRES_CALLER,
  createPostgresExecutor,
  PostgresConnections,
  type PgClient,
  type PgPool,
  type PostgresOptions,
} from './postgres-pool.ts'

export type { PgClient, PgPool, PgPoolClient, PostgresOptions } from './postgres-pool.ts'

/** Codes of the errors serialization failure, deadlock and lock not available. */
const TRANSIENT_ERRORS: readonly string[] = ['40001', '40P01', '55P03']
const UNIQUE_VIOLATION = '23505'
const MAX_WRITES = 3

/**
 * Creates a `database` on PostgreSQL 13 or newer by `pg`: over a pool of the app, or a URL. A
 * transaction object is a client with a transaction open. Throws ConfigurationError without a URL,
 * and for `pg` before 8.16.
 *
 * @example
 * const database = postgres(process.env.DATABASE_URL)
 */
export function postgres(
  database: string | undefined | PgPool | PostgresOptions,
): Database<PgClient> {
  const connections = new PostgresConnections(database)
  requireVersion(POSTGRES_CALLER, 'pg', '8.16.0')
  requireVersion(POSTGRES_CALLER, 'pg-copy-streams', '7.0.0')
  const listenConfig = connections.listenConfig
  return {
    findsRecords: false,
    dialect: 'postgres',
    returning: true,
    writeConcurrency: Math.max(1, Math.min(MAX_WRITES, connections.ownSize - 1)),
    executor: { run: (sql, parameters) => runStatement(connections, sql, parameters) },
    // The first statement connects, not `open`: the pool's last connection may be in the
    // transaction that this call is made in.
    open: () => Promise.resolve('postgres'),
    transaction: (run) =>
      connections.use(async (client, discard) => {
        await client.query('begin isolation level read committed')
        try {
          const result = await run({ tx: client, executor: createPostgresExecutor(client) })
          // PostgreSQL rolls back a transaction in which a statement failed, and reports no error
          // for its COMMIT.
          if ((await client.query('commit')).command === 'ROLLBACK') throw createEndedEarlyError()
          return result
        } catch (error) {
          await client.query('rollback').catch(discard)
          throw error
        }
      }),
    join(tx) {
      checkTransaction(tx)
      return createPostgresExecutor(tx)
    },
    isTransient: (error) => TRANSIENT_ERRORS.includes(readErrorCode(error)),
    isUniqueViolation: (error) => readErrorCode(error) === UNIQUE_VIOLATION,
    readChunks: (table, fileId, from, to) =>
      connections.use((client) => copyChunks(client, table, fileId, from, to)),
    ...(listenConfig === null
      ? {}
      : {
          listen: (channel, wake, changed) => {
            const listener = new PostgresListener(listenConfig, channel, { wake, changed })
            return Promise.resolve(() => listener.stop())
          },
        }),
    async reserve() {
      const reserved = await connections.reserve()
      if (reserved === null) return null
      return {
        executor: createPostgresExecutor(reserved.client),
        release: () => Promise.resolve(reserved.release()),
        destroy: () => Promise.resolve(reserved.release(true)),
      }
    },
    close: () => connections.close(),
  }
}

/**
 * Runs one statement by itself. PostgreSQL reports an error before it releases the statement's
 * locks: a second round trip guarantees that they are gone.
 */
function runStatement(
  connections: PostgresConnections,
  sql: string,
  parameters: readonly Parameter[],
): Promise<Result> {
  return connections.use(async (client, discard) => {
    try {
      return await createPostgresExecutor(client).run(sql, parameters)
    } catch (error) {
      if (error instanceof pg.DatabaseError) await client.query('select 1').catch(discard)
      throw error
    }
  })
}

/**
 * Throws ConfigurationError for a pool, and for a client that `pg` knows to be in no transaction.
 */
function checkTransaction(tx: PgClient | undefined): void {
  if (typeof tx?.query !== 'function' || 'totalCount' in tx)
    throw new ConfigurationError(
      '{ transaction } must be the client that BEGIN was sent on, not the pool.',
    )
  if (tx.getTransactionStatus?.() === 'I')
    throw new ConfigurationError(
      'No transaction is open on the client: send BEGIN first, or leave { transaction } out.',
    )
}
