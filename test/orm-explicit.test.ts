// Query builders attach files inside a transaction of the app: Kysely, Knex, Drizzle.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, test } from 'node:test'
import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleMysql } from 'drizzle-orm/mysql2'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { sql as drizzleSql } from 'drizzle-orm'
import knexInit, { type Knex } from 'knex'
import {
  CompiledQuery,
  Kysely,
  MysqlDialect,
  PostgresDialect,
  SqliteDialect,
  type Transaction,
} from 'kysely'
import mysql2 from 'mysql2'
import mysql2Promise from 'mysql2/promise'
import pg from 'pg'
import type { ActiveStorage } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { drizzle } from '../src/orm/drizzle/index.ts'
import { knex } from '../src/orm/knex/index.ts'
import { kysely } from '../src/orm/kysely/index.ts'
import { databaseContract, ormContract, type OrmApp, type ormModels } from '../src/testing/index.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { emptyDatabase, skipping } from './support/empty-database.ts'
import { countFarther, usual, varieties, type Variety } from './support/orm-varieties.ts'

after(() => closeDatabases())
type Storage = ActiveStorage<typeof ormModels, never>

/** The members that all query builders share here: they run text, in a transaction or not. */
interface Builder {
  readonly database: Database<never, boolean>
  /** Rows of a statement without parameters. */
  run(sql: string, tx?: never): Promise<readonly Record<string, unknown>[]>
  transaction<T>(run: (tx: never) => Promise<T>): Promise<T>
  nested?<T>(tx: never, run: (tx: never) => Promise<T>): Promise<T>
  end(): Promise<unknown>
}

const builders: Readonly<
  Record<string, (kind: string, url: string, connections: number) => Builder>
> = {
  Kysely(kind, url, connections) {
    const db = new Kysely<Record<string, never>>({
      dialect:
        kind === 'SQLite'
          ? new SqliteDialect({ database: new BetterSqlite3(url) })
          : kind === 'PostgreSQL'
            ? new PostgresDialect({
                pool: new pg.Pool({ connectionString: url, max: connections }),
              })
            : new MysqlDialect({
                pool: mysql2.createPool({
                  uri: url,
                  connectionLimit: connections,
                  supportBigNumbers: true,
                }),
              }),
    })
    return {
      database: kysely(db) as unknown as Database<never>,
      run: async (sql, tx) =>
        (
          await ((tx as Transaction<never> | undefined) ?? db).executeQuery<
            Record<string, unknown>
          >(CompiledQuery.raw(sql))
        ).rows,
      transaction: (run) => db.transaction().execute((tx) => run(tx as never)),
      end: () => db.destroy(),
    }
  },
  Knex(kind, url, connections) {
    const db = knexInit(
      kind === 'SQLite'
        ? { client: 'better-sqlite3', connection: { filename: url }, useNullAsDefault: true }
        : {
            ...(kind === 'PostgreSQL'
              ? { client: 'pg', connection: url }
              : { client: 'mysql2', connection: { uri: url, supportBigNumbers: true } as object }),
            pool: { min: 0, max: connections },
          },
    )
    return {
      database: knex(db) as unknown as Database<never>,
      async run(sql, tx) {
        const answer = (await ((tx as Knex.Transaction | undefined) ?? db).raw(sql)) as never
        return kind === 'PostgreSQL'
          ? (answer as { rows: [] }).rows
          : kind === 'SQLite'
            ? answer
            : answer[0]
      },
      transaction: (run) => db.transaction((tx) => run(tx as never)),
      nested: (tx, run) => (tx as Knex.Transaction).transaction((inner) => run(inner as never)),
      end: () => db.destroy(),
    }
  },
  Drizzle(kind, url, connections) {
    if (kind === 'SQLite') {
      const handle = new BetterSqlite3(url)
      const database = drizzle(drizzleSqlite(handle)) as unknown as Database<never>
      return {
        database,
        run: (sql) =>
          Promise.resolve(
            /^select|returning/.test(sql)
              ? (handle.prepare(sql).all() as [])
              : (handle.exec(sql), []),
          ),
        transaction: (run) => database.transaction(({ tx }) => run(tx)),
        end: () => Promise.resolve(handle.close()),
      }
    }
    const pool =
      kind === 'PostgreSQL'
        ? new pg.Pool({ connectionString: url, max: connections })
        : mysql2Promise.createPool({
            uri: url,
            connectionLimit: connections,
            supportBigNumbers: true,
          })
    const db = (
      kind === 'PostgreSQL' ? drizzlePg(pool as pg.Pool) : drizzleMysql(pool as mysql2Promise.Pool)
    ) as ReturnType<typeof drizzlePg>
    return {
      database: drizzle(db) as unknown as Database<never>,
      async run(sql, tx) {
        const answer = (await ((tx as typeof db | undefined) ?? db).execute(
          drizzleSql.raw(sql),
        )) as never
        return kind === 'PostgreSQL' ? (answer as { rows: [] }).rows : answer[0]
      },
      transaction: (run) => db.transaction((tx) => run(tx as never)),
      nested: (tx, run) => (tx as typeof db).transaction((inner) => run(inner as never)),
      end: () => pool.end(),
    }
  },
}

const tableOf = { User: 'users', Member: 'members' } as const

async function explicit(
  kind: Kind,
  make: (typeof builders)[string],
  variety: Variety,
): Promise<OrmApp<never>> {
  const made = await emptyDatabase(kind)
  const builder = make(kind.name, made.url, variety.connections)
  const isUuid = variety.recordId === 'uuid'
  const id = isUuid
    ? `${kind.name === 'PostgreSQL' ? 'uuid' : 'char(36)'} primary key`
    : {
        SQLite: 'integer primary key',
        PostgreSQL: 'bigserial primary key',
        MariaDB: 'bigint auto_increment primary key',
      }[kind.name]
  for (const table of Object.values(tableOf))
    await builder.run(`create table ${table} (id ${id}, name text not null)`)
  await countFarther(kind, made.url, variety)
  let storage: Storage | undefined
  const record = (model: 'User', recordId: string, tx: never) =>
    storage!.record(model, recordId, { transaction: tx })
  const within = <T>(tx: never | undefined, run: (tx: never) => Promise<T>): Promise<T> =>
    tx === undefined ? storage!.transaction(run) : run(tx)
  const insert = async (model: keyof typeof tableOf, name: string, tx: never): Promise<string> => {
    const own = isUuid ? randomUUID() : null
    const statement =
      own === null
        ? `insert into ${tableOf[model]} (name) values ('${name}')`
        : `insert into ${tableOf[model]} (id, name) values ('${own}', '${name}')`
    const [row] =
      kind.name === 'MariaDB'
        ? (await builder.run(statement, tx), await builder.run('select last_insert_id() as id', tx))
        : await builder.run(`${statement} returning id`, tx)
    return own ?? String(row?.['id'])
  }
  return {
    database: builder.database,
    recordId: variety.recordId,
    bind: (given) => void (storage = given),
    create: (model, name, files, given) =>
      within(given, async (tx) => {
        const recordId = await insert(model, name, tx)
        await record(model as 'User', recordId, tx).attachLater(files as never)
        return recordId
      }),
    build(model, name, files) {
      let isSaved = false
      return {
        async save(given) {
          if (isSaved) return ''
          isSaved = true
          const recordId = await within(given, async (tx) => {
            const inserted = await insert(model, name, tx)
            await record(model as 'User', inserted, tx).attach(files as never)
            return inserted
          })
          if (given === undefined) await storage!.record(model as 'User', recordId).whenAttached()
          return recordId
        },
      }
    },
    save: (model, recordId, files, given) =>
      within(
        given,
        async (tx) =>
          void (await record(model as 'User', recordId, tx).attachLater(files as never)),
      ),
    destroy: (model, recordId, given) =>
      within(given, async (tx) => {
        await builder.run(`delete from ${tableOf[model]} where id = '${recordId}'`, tx)
        await record(model as 'User', recordId, tx).purgeAllLater()
      }),
    async load(tx) {
      const rows = await builder.run('select id from users order by name', tx)
      return storage!.records(
        'User',
        rows.map((row) => String(row['id'])),
        tx === undefined ? {} : { transaction: tx },
      )
    },
    transaction: builder.transaction,
    ...(builder.nested === undefined ? {} : { nested: builder.nested }),
    names: async (model) =>
      (await builder.run(`select name from ${tableOf[model]} order by id`)).map((row) =>
        String(row['name']),
      ),
    async close() {
      await builder.end()
      await made.close()
    },
  }
}

for (const [name, make] of Object.entries(builders))
  for (const kind of kinds)
    describe(`${name} on ${kind.name}`, () => {
      const orSkip = skipping(kind)
      // Apps that write SQL pass ids themselves, so the ids of one database are enough.
      for (const variety of kind.name === 'PostgreSQL' ? varieties(kind) : [usual])
        ormContract({
          test: variety.test(orSkip),
          isSqlite: kind.name === 'SQLite',
          open: () => explicit(kind, make, variety),
        })
      databaseContract({
        test: orSkip,
        async create() {
          const app = await explicit(kind, make, usual)
          return { database: app.database as Database<never>, close: app.close }
        },
      })
    })
for (const [name, make] of Object.entries(builders))
  test(`${name}: an ended transaction is refused`, async (t) => {
    const made = await kinds[0]!.create()
    await made!.database.close()
    const { database, transaction, end } = make(kinds[0]!.name, made!.url, 1)
    t.after(async () => {
      await end()
      await made!.close()
    })
    const { tx } = await transaction((open) => Promise.resolve({ tx: open }))
    await assert.rejects(async () => database.join(tx).run('select 1', []), {
      code: 'CONFIGURATION',
    })
  })
