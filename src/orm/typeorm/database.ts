import type { DataSource, EntityManager } from 'typeorm'
import type { Database, Dialect } from '../../database/database.ts'
import type { Parameter, Result, Row } from '../../database/executor.ts'
import { sqlite, type SqliteHandle } from '../../database/sqlite.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { createRecordSource } from './records.ts'
import { patchManagerOf } from './save-manager.ts'
import { watchDataSource } from './save-subscriber.ts'
import { afterCommit } from './transactions.ts'

const dialectByDataSourceType: Readonly<Record<string, Dialect>> = {
  postgres: 'postgres',
  mysql: 'mysql',
  mariadb: 'mysql',
  'better-sqlite3': 'sqlite',
}

/**
 * An app's DataSource of TypeORM, before or after it is initialized: its connections carry the library's statements, its
 * transactions are the app's own, and records that hooks need are loaded by it. A transaction object is an EntityManager.
 * Throws ConfigurationError for a type of database that the library does not speak, and for TypeORM before 1.0.
 *
 * @example
 * declare const dataSource: import('typeorm').DataSource
 * const { typeorm } = await import('activestorage-delayed/typeorm')
 * const storage = createActiveStorage({ database: typeorm(dataSource), services, models: { User: userAttachments } })
 */
export function typeorm(dataSource: DataSource): Database<EntityManager, true> {
  const type = String((dataSource as Partial<DataSource> | undefined)?.options?.type)
  const dialect = dialectByDataSourceType[type]
  if (dialect === undefined)
    throw new ConfigurationError(
      type === 'undefined'
        ? 'typeorm(): pass the DataSource of the app.'
        : `typeorm(): the library does not speak ${type}: postgres, mysql, mariadb and better-sqlite3 it does.`,
    )
  requireVersion('typeorm()', 'typeorm', '1.0.0')
  patchManagerOf(dataSource)
  watchDataSource(dataSource)
  const base = bridgeDatabase<EntityManager>({
    dialect,
    async run(tx, sql, parameters) {
      if (tx?.queryRunner !== undefined) return sendStatement(tx.queryRunner, sql, parameters)
      const runner = dataSource.createQueryRunner()
      try {
        return await sendStatement(runner, sql, parameters)
      } finally {
        await runner.release()
      }
    },
    transaction: (run) => dataSource.transaction('READ COMMITTED', run),
    check(tx) {
      if (typeof (tx as Partial<EntityManager> | undefined)?.getRepository !== 'function')
        throw new ConfigurationError(
          '{ transaction } must be the EntityManager that TypeORM hands over in dataSource.transaction(…).',
        )
      if (tx.queryRunner?.isTransactionActive !== true)
        throw new ConfigurationError(
          'No transaction is open on this EntityManager: use the one that dataSource.transaction(…) hands over.',
        )
    },
    afterCommit: (tx, done) => tx.queryRunner && afterCommit(tx.queryRunner, done),
  })
  const shared = {
    finds: true as const,
    records: (attachments: object) =>
      dataSource.isInitialized ? createRecordSource(dataSource, attachments) : null,
  }
  return dialect === 'sqlite'
    ? { ...base, ...shared, ...overSqliteHandle(dataSource, base) }
    : { ...base, ...shared }
}

interface StructuredRunner {
  query(
    sql: string,
    parameters: unknown[],
    structured: true,
  ): Promise<{ records: unknown[]; affected?: number; raw: unknown }>
}

async function sendStatement(
  runner: StructuredRunner,
  sql: string,
  parameters: readonly Parameter[],
): Promise<Result> {
  const { records, affected } = await runner.query(sql, [...parameters], true)
  const isRead = /^\s*(select|with)\b/i.test(sql)
  return { rows: records as Row[], affected: isRead ? 0 : (affected ?? 0) }
}

/**
 * TypeORM has one connection to a file of SQLite, and whoever asks it for a transaction is in the one that is open. What is the
 * library's own waits for its turn on the same handle instead.
 */
function overSqliteHandle(
  dataSource: DataSource,
  base: Database<EntityManager>,
): Partial<Omit<Database<EntityManager>, 'finds'>> {
  // A data source that was destroyed and is initialized again has another handle.
  const made = new WeakMap<SqliteHandle, Database<SqliteHandle>>()
  const handle = (): SqliteHandle => {
    const { databaseConnection } = dataSource.driver as { databaseConnection?: SqliteHandle }
    if (databaseConnection === undefined)
      throw new ConfigurationError(
        'The DataSource is not initialized: await dataSource.initialize() first.',
      )
    return databaseConnection
  }
  const inner = (): Database<SqliteHandle> => {
    const now = handle()
    const database = made.get(now) ?? sqlite(now)
    made.set(now, database)
    return database
  }
  return {
    returning: true,
    executor: { run: async (sql, parameters) => inner().executor.run(sql, parameters) },
    transaction: async (run) =>
      inner().transaction(({ executor }) => run({ tx: dataSource.manager, executor })),
    appTransaction: (run) => dataSource.transaction(run),
    join(tx) {
      base.join(tx)
      return inner().join(handle())
    },
  }
}
