// The command writes a migration for each tool, and the tool runs it.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { after, describe, test } from 'node:test'
import { Database } from '@adonisjs/lucid/database'
import type { BaseSchema } from '@adonisjs/lucid/schema'
import { MikroORM as MariaDb } from '@mikro-orm/mariadb'
import { Migrator as MikroMigrator, type Migration } from '@mikro-orm/migrations'
import { MikroORM as PostgreSql } from '@mikro-orm/postgresql'
import { MikroORM as Sqlite } from '@mikro-orm/sqlite'
import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { migrate as migrateSqlite } from 'drizzle-orm/better-sqlite3/migrator'
import { drizzle as drizzleMysql } from 'drizzle-orm/mysql2'
import { migrate as migrateMysql } from 'drizzle-orm/mysql2/migrator'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { migrate as migratePg } from 'drizzle-orm/node-postgres/migrator'
import knexInit from 'knex'
import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'
import { FileMigrationProvider, Migrator } from 'kysely/migration'
import mysql2 from 'mysql2'
import mysql2Promise from 'mysql2/promise'
import fs from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { Sequelize, type QueryInterface } from 'sequelize'
import { DataSource } from 'typeorm'
import { run } from '../src/cli/run.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { createDialectSchema } from '../src/database/migrate.ts'
import { createTableNames } from '../src/database/schema.ts'
import { createActiveStorage, hasOneAttached } from '../src/index.ts'
import type { Dialect } from '../src/adapters.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { sqlite3 } from './support/sqlite3.ts'

after(() => closeDatabases())

/** A folder in which the packages that a migration imports are found. */
const folders = await mkdtemp(join(import.meta.dirname, '.generate-'))
after(() => rm(folders, { recursive: true, force: true }))

interface Place {
  readonly kind: string
  readonly url: string
  /** Empty, for the migrations of one tool. */
  readonly folder: string
}
/**
 * Runs the migration of a text, and gives what takes it back; null where the tool has no way back.
 */
type Tool = (place: Place, migration: string) => Promise<(() => Promise<void>) | null>

const save = async ({ folder }: Place, name: string, text: string): Promise<string> => {
  await mkdir(join(folder, name, '..'), { recursive: true })
  await writeFile(join(folder, name), text)
  return join(folder, name)
}
const imported = async (file: string): Promise<Record<string, unknown>> =>
  (await import(pathToFileURL(file).href)) as Record<string, unknown>

const tools: Readonly<Record<string, Tool>> = {
  async knex(place, text) {
    await save(place, '1_active_storage.ts', text)
    const db = knexInit({
      client: { SQLite: 'better-sqlite3', PostgreSQL: 'pg', MariaDB: 'mysql2' }[place.kind]!,
      connection: place.kind === 'SQLite' ? { filename: place.url } : place.url,
      useNullAsDefault: true,
      migrations: { directory: place.folder, loadExtensions: ['.ts'] },
    })
    await db.migrate.latest()
    return async () => {
      await db.migrate.rollback()
      await db.destroy()
    }
  },
  async kysely(place, text) {
    await save(place, '1_active_storage.ts', text)
    const db = new Kysely<unknown>({
      dialect:
        place.kind === 'SQLite'
          ? new SqliteDialect({ database: new BetterSqlite3(place.url) })
          : place.kind === 'PostgreSQL'
            ? new PostgresDialect({ pool: new pg.Pool({ connectionString: place.url }) })
            : new MysqlDialect({ pool: mysql2.createPool(place.url) }),
    })
    const migrator = new Migrator({
      db,
      provider: new FileMigrationProvider({ fs, path, migrationFolder: place.folder }),
    })
    assert.equal((await migrator.migrateToLatest()).error, undefined)
    return async () => {
      assert.equal((await migrator.migrateDown()).error, undefined)
      await db.destroy()
    }
  },
  async lucid(place, text) {
    const { default: Schema } = (await imported(
      await save(place, '1_active_storage.ts', text),
    )) as { default: typeof BaseSchema }
    const connection =
      place.kind === 'SQLite'
        ? { client: 'better-sqlite3', connection: { filename: place.url }, useNullAsDefault: true }
        : { client: place.kind === 'PostgreSQL' ? 'pg' : 'mysql2', connection: place.url }
    const none = new Proxy({}, { get: () => () => undefined })
    const db = new Database(
      { connection: 'main', connections: { main: connection } } as never,
      none as never,
      none as never,
    )
    await new Schema(db.connection(), '1_active_storage.ts', false).execUp()
    return async () => {
      await new Schema(db.connection(), '1_active_storage.ts', false).execDown()
      await db.manager.closeAll()
    }
  },
  async 'mikro-orm'(place, text) {
    const file = await save(place, 'Migration1.ts', text)
    const [migration] = Object.values(await imported(file)) as (typeof Migration)[]
    const options = {
      extensions: [MikroMigrator],
      entities: [],
      discovery: { warnWhenNoEntities: false },
      migrations: {
        migrationsList: [{ name: 'active_storage', class: migration as never }],
        snapshot: false,
      },
    }
    const orm =
      place.kind === 'SQLite'
        ? await Sqlite.init({ ...options, dbName: place.url })
        : await (place.kind === 'PostgreSQL' ? PostgreSql : MariaDb).init({
            ...options,
            clientUrl: place.url,
          })
    await orm.migrator.up()
    return async () => {
      await orm.migrator.down()
      await orm.close()
    }
  },
  async sequelize(place, text) {
    // sequelize-cli reads a migration as CommonJS.
    const { default: migration } = (await imported(
      await save(place, '1-active-storage.cjs', text),
    )) as {
      default: Record<'down' | 'up', (query: QueryInterface) => Promise<void>>
    }
    const db =
      place.kind === 'SQLite'
        ? new Sequelize({
            dialect: 'sqlite',
            storage: place.url,
            dialectModule: sqlite3,
            logging: false,
          })
        : new Sequelize(place.url.replace(/^mysql:/, 'mariadb:'), { logging: false })
    await migration.up(db.getQueryInterface())
    return async () => {
      await migration.down(db.getQueryInterface())
      await db.close()
    }
  },
  async typeorm(place, text) {
    const migrations = Object.values(
      await imported(await save(place, '1-ActiveStorage.ts', text)),
    ) as never
    const db = new DataSource(
      place.kind === 'SQLite'
        ? { type: 'better-sqlite3', database: place.url, migrations }
        : {
            type: place.kind === 'PostgreSQL' ? 'postgres' : 'mariadb',
            url: place.url,
            migrations,
          },
    )
    await db.initialize()
    assert.equal((await db.runMigrations()).length, 1)
    return async () => {
      await db.undoLastMigration()
      await db.destroy()
    }
  },
  async drizzle(place, text) {
    await save(place, '0000_active_storage.sql', text)
    const entries = [
      { idx: 0, version: '7', when: 1, tag: '0000_active_storage', breakpoints: true },
    ]
    await save(place, 'meta/_journal.json', JSON.stringify({ version: '7', dialect: 'x', entries }))
    const options = { migrationsFolder: place.folder }
    if (place.kind === 'SQLite') {
      const handle = new BetterSqlite3(place.url)
      migrateSqlite(drizzleSqlite(handle), options)
      handle.close()
    } else {
      const pool =
        place.kind === 'PostgreSQL'
          ? new pg.Pool({ connectionString: place.url })
          : mysql2Promise.createPool(place.url)
      await (place.kind === 'PostgreSQL'
        ? migratePg(drizzlePg(pool as pg.Pool), options)
        : migrateMysql(drizzleMysql(pool as mysql2Promise.Pool), options))
      await pool.end()
    }
    return null
  },
}

const dialects: Readonly<Record<string, Dialect>> = {
  SQLite: 'sqlite',
  PostgreSQL: 'postgres',
  MariaDB: 'mariadb',
}

/** Returns the migration that the command prints into a file. */
async function generateMigration(
  tool: string,
  kind: string,
  t: { mock: typeof import('node:test').mock },
): Promise<string> {
  const storage = createActiveStorage({
    database: sqlite(':memory:'),
    findRecord: { User: (id) => ({ id }) },
    logger: false,
    services: { test: memory() },
    models: { User: { photo: hasOneAttached() } },
    secretKeyBase: 'a secret of the tests',
  })
  const log = t.mock.method(console, 'log', () => undefined)
  assert.equal(await run(storage, ['generate', `--${tool}`, '--dialect', dialects[kind]!]), 0)
  log.mock.restore()
  return String(log.mock.calls[0]?.arguments[0])
}

for (const [tool, migrate] of Object.entries(tools))
  describe(`generate --${tool}`, () => {
    for (const kind of kinds)
      test(`${kind.name}: its migration creates all that the storage needs, and removes it again`, async (t) => {
        const made = await kind.create()
        if (made === null) return t.skip(`${kind.name}: ${kind.why ?? ''}`)
        t.after(() => made.close())
        await made.database.open()
        t.after(() => made.database.close())
        const schema = createDialectSchema(dialects[kind.name]!, createTableNames({}), 'bigint')
        const missing = async (): Promise<number> => {
          const there = await schema.existing(made.database.executor)
          return schema.steps.filter(({ needs }) => !there.has(needs)).length
        }
        assert.equal(await missing(), schema.steps.length)
        const folder = await mkdtemp(join(folders, `${tool}-`))
        const back = await migrate(
          { kind: kind.name, url: made.url, folder },
          await generateMigration(tool, kind.name, t),
        )
        assert.equal(await missing(), 0)
        if (back === null) return
        await back()
        assert.equal(await missing(), schema.steps.length)
      })
  })
