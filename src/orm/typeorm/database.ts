import type { DataSource, EntityManager, QueryRunner } from 'typeorm'
import type { Database, Dialect } from '../../database/database.ts'
import type { Parameter, Result } from '../../database/executor.ts'
import { sqlite, type SqliteHandle } from '../../database/sqlite.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { hasMethod, readPath } from '../object-guards.ts'
import { sqliteHandleOf } from './internals.ts'
import { createRecordSource } from './records.ts'
import { patchManagerPrototype } from './save-manager.ts'
import { watchDataSource } from './save-subscriber.ts'
import { afterCommit } from './transactions.ts'

const dialectByDataSourceType: Readonly<Record<string, Dialect>> = {
  postgres: 'postgres',
  mysql: 'mysql',
  mariadb: 'mysql',
  'better-sqlite3': 'sqlite',
}

/**
 * Creates a `database` over an app's DataSource of TypeORM, before or after it is initialized: the
 * library's statements run on its connections, in the app's own transactions, and it loads the
 * records for hooks. A transaction object is an EntityManager. Throws ConfigurationError for a type
 * of database that the library cannot use, and for TypeORM before 1.0.
 *
 * @example
 * declare const dataSource: import('typeorm').DataSource
 * const { typeorm } = await import('activestorage-delayed/typeorm')
 * const storage = createActiveStorage({ database: typeorm(dataSource), services, models: { User: userAttachments } })
 */
export function typeorm(dataSource: DataSource): Database<EntityManager, true> {
  const type = String(readPath(dataSource, 'options', 'type'))
  const dialect = dialectByDataSourceType[type]
  if (dialect === undefined)
    throw new ConfigurationError(
      type === 'undefined'
        ? 'typeorm(): pass the DataSource of the app.'
        : `typeorm(): a data source of type ${type} cannot be used; postgres, mysql, mariadb and better-sqlite3 can.`,
    )
  requireVersion('typeorm()', 'typeorm', '1.0.0')
  patchManagerPrototype(dataSource)
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
      if (!hasMethod(tx, 'getRepository'))
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
    findsRecords: true as const,
    findRecordSource: (attachments: object) =>
      dataSource.isInitialized ? createRecordSource(dataSource, attachments) : null,
  }
  return dialect === 'sqlite'
    ? { ...base, ...shared, ...overSqliteHandle(dataSource, base) }
    : { ...base, ...shared }
}

async function sendStatement(
  runner: QueryRunner,
  sql: string,
  parameters: readonly Parameter[],
): Promise<Result> {
  const { records, affected } = await runner.query(sql, [...parameters], true)
  const isRead = /^\s*(select|with)\b/i.test(sql)
  return { rows: records, affected: isRead ? 0 : (affected ?? 0) }
}

/**
 * Makes the library's own transactions wait for their turn on TypeORM's handle of SQLite. TypeORM
 * has one connection to a file, and would make a transaction that begins while another one is open
 * a savepoint in that one.
 */
function overSqliteHandle(
  dataSource: DataSource,
  base: Database<EntityManager>,
): Partial<Omit<Database<EntityManager>, 'findsRecords'>> {
  // A data source that was destroyed and is initialized again has another handle.
  const databases = new WeakMap<SqliteHandle, Database<SqliteHandle>>()
  const findHandle = (): SqliteHandle => {
    const handle = sqliteHandleOf(dataSource)
    if (handle === undefined)
      throw new ConfigurationError(
        'The DataSource is not initialized: await dataSource.initialize() first.',
      )
    return handle
  }
  const findDatabase = (): Database<SqliteHandle> => {
    const handle = findHandle()
    const database = databases.get(handle) ?? sqlite(handle)
    databases.set(handle, database)
    return database
  }
  return {
    returning: true,
    executor: { run: async (sql, parameters) => findDatabase().executor.run(sql, parameters) },
    transaction: async (run) =>
      findDatabase().transaction(({ executor }) => run({ tx: dataSource.manager, executor })),
    appTransaction: (run) => dataSource.transaction(run),
    join(tx) {
      base.join(tx)
      return findDatabase().join(findHandle())
    },
  }
}
