// The bindings read private fields of ORMs. A version that lacks or changes one
// fails here first, by name.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BaseModel, Preloader } from '@adonisjs/lucid/orm'
import { EntitySchema as MikroSchema } from '@mikro-orm/core'
import { MikroORM } from '@mikro-orm/sqlite'
import { PrismaBetterSqlite3 } from '@prisma/adapter-better-sqlite3'
import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { drizzle as drizzlePostgres } from 'drizzle-orm/node-postgres'
import createKnex from 'knex'
import {
  CompiledQuery,
  Kysely,
  MysqlAdapter,
  PostgresAdapter,
  SqliteAdapter,
  SqliteDialect,
} from 'kysely'
import { Model as ObjectionModel, QueryBuilder } from 'objection'
import pg from 'pg'
import { DataTypes, Model, Sequelize } from 'sequelize'
import { DataSource, EntitySchema as TypeormSchema } from 'typeorm'
import { entityKindOf } from '../src/orm/drizzle/internals.ts'
import type {
  KnexInternals,
  TransactionInternals as KnexTransaction,
} from '../src/orm/knex/internals.ts'
import * as lucid from '../src/orm/lucid/internals.ts'
import * as objection from '../src/orm/objection/internals.ts'
import { prototypesOf } from '../src/orm/object-guards.ts'
import * as mikroOrm from '../src/orm/mikro-orm/internals.ts'
import { isDelegate } from '../src/orm/prisma/client.ts'
import * as prisma from '../src/orm/prisma/internals.ts'
import * as typeorm from '../src/orm/typeorm/internals.ts'
import * as sequelize from '../src/orm/sequelize/internals.ts'
import { generateClient } from './support/prisma.ts'
import { sqlite3 } from './support/sqlite3.ts'

const sqliteKnex = () =>
  createKnex({
    client: 'better-sqlite3',
    connection: { filename: ':memory:' },
    useNullAsDefault: true,
  })

test('Sequelize has its transactions, timestamp columns, included records, CLS and storage', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'orm-internals-'))
  const storage = join(folder, 'app.sqlite')
  const app = new Sequelize({ dialect: 'sqlite', storage, dialectModule: sqlite3, logging: false })
  t.after(async () => {
    await app.close()
    await rm(folder, { recursive: true })
  })
  class Author extends Model {}
  class Book extends Model {}
  const options = { sequelize: app, paranoid: true, updatedAt: 'changedAt', deletedAt: 'goneAt' }
  Author.init({ name: DataTypes.TEXT }, options)
  Book.init({ title: DataTypes.TEXT }, options)
  Author.hasMany(Book)
  await app.sync()

  const { _timestampAttributes: timestamps }: sequelize.ModelInternals = Author
  assert.deepEqual([timestamps?.updatedAt, timestamps?.deletedAt], ['changedAt', 'goneAt'])
  assert.equal(sequelize.readSqliteStorage(app), storage)

  await Author.create({ name: 'Ada', Books: [{ title: 'Notes' }] }, { include: [Book] })
  const [author] = await Author.findAll({ include: [Book] })
  assert.ok(sequelize.isRecord(author))
  assert.deepEqual(author._options?.includeNames, ['Books'])

  const outer: sequelize.TransactionInternals = await app.transaction()
  const inner: sequelize.TransactionInternals = await app.transaction({ transaction: outer })
  assert.deepEqual([outer.parent ?? null, inner.parent], [null, outer])
  assert.equal(inner.finished, undefined)
  await inner.commit()
  await outer.rollback()
  assert.deepEqual([inner.finished, outer.finished], ['commit', 'rollback'])

  assert.equal(sequelize.readClsTransaction(app), undefined)
  Sequelize.useCLS({ run: () => {}, bind: () => {}, get: () => outer })
  t.after(() => Reflect.deleteProperty(Sequelize, '_cls'))
  assert.equal(sequelize.readClsTransaction(app), outer)
})

test('Knex has its client, the parent of a savepoint, and one promise per transaction', async (t) => {
  const knex = sqliteKnex()
  t.after(() => knex.destroy())
  const { client }: KnexInternals = knex
  assert.deepEqual([client?.dialect, client?.config?.client], ['sqlite3', 'better-sqlite3'])
  await knex.transaction(async (trx) => {
    const outer: KnexTransaction = trx
    assert.equal(outer.parentTransaction, undefined)
    await trx.transaction(async (savepoint) => {
      const inner: KnexTransaction = savepoint
      assert.equal(inner.parentTransaction?.executionPromise, trx.executionPromise)
      return Promise.resolve()
    })
  })
})

test('Objection has the records of a query, and the Knex that it runs on', (t) => {
  const knex = sqliteKnex()
  t.after(() => knex.destroy())
  class Author extends ObjectionModel {
    static override tableName = 'authors'
    declare id: number
    declare name: string
  }
  const names = (query: object): unknown[] => {
    assert.ok(query instanceof QueryBuilder)
    return objection.readInputRecords(query).map((record) => Reflect.get(record, 'name'))
  }
  assert.equal(objection.readKnex(Author.query(knex)), knex)
  assert.equal(objection.readKnex(Author.query()), undefined)
  const authors = [{ name: 'Ada' }, { name: 'Bob' }]
  assert.deepEqual(names(Author.query(knex).insert(authors)), ['Ada', 'Bob'])
  assert.deepEqual(names(Author.query(knex).patch({ name: 'Cleo' })), ['Cleo'])
})

test('Lucid has the model of a preloader, and the relations that it will load', () => {
  class Author extends BaseModel {}
  const preloader = new Preloader(Author)
  assert.equal(lucid.readModel(preloader), Author)
  const relation = {}
  lucid.addRelation(preloader, 'photo', relation)
  assert.equal(Reflect.get(preloader, 'preloads').photo.relation, relation)
})

test('Kysely has the names of adapters, and the state of a finished transaction', async (t) => {
  assert.deepEqual(
    [PostgresAdapter, MysqlAdapter, SqliteAdapter].map(({ name }) => name),
    ['PostgresAdapter', 'MysqlAdapter', 'SqliteAdapter'],
  )
  const db = new Kysely({ dialect: new SqliteDialect({ database: new BetterSqlite3(':memory:') }) })
  t.after(() => db.destroy())
  const controlled = await db.startTransaction().execute()
  assert.deepEqual([controlled.isCommitted, controlled.isRolledBack], [false, false])
  await controlled.commit().execute()
  assert.equal(controlled.isCommitted, true)
  const finished = await db.transaction().execute((trx) => Promise.resolve({ trx }))
  await assert.rejects(
    finished.trx.executeQuery(CompiledQuery.raw('select 1')),
    /^Error: Transaction is already committed/,
  )
})

test('Drizzle has the names of its classes, and the client below a session', () => {
  const kinds = (db: object): unknown[] => [...prototypesOf(db)].map(entityKindOf)
  const client = new pg.Client()
  const postgres = drizzlePostgres({ client })
  assert.ok(kinds(postgres).includes('PgDatabase'))
  assert.ok(kinds(drizzleSqlite(new BetterSqlite3(':memory:'))).includes('BaseSQLiteDatabase'))
  assert.equal(Reflect.get(postgres, 'session').client, client)
  assert.equal(typeof Reflect.get(client, 'getTransactionStatus'), 'function')
})

test('TypeORM has the handle of SQLite, and the mark of its own instances', async (t) => {
  const schema = new TypeormSchema({
    name: 'Author',
    columns: { id: { type: 'integer', primary: true } },
  })
  const dataSource = new DataSource({
    type: 'better-sqlite3',
    database: ':memory:',
    entities: [schema],
  })
  assert.equal(typeorm.sqliteHandleOf(dataSource), undefined)
  await dataSource.initialize()
  t.after(() => dataSource.destroy())
  assert.ok(typeorm.sqliteHandleOf(dataSource) instanceof BetterSqlite3)
  assert.equal(typeorm.isMarkedInstance(schema), true)
  assert.equal(typeorm.isMarkedInstance({ id: 1 }), false)
})

test('MikroORM has the state of an entity, its platform, and the Kysely below', async (t) => {
  class Author {
    id!: number
    name!: string
  }
  const schema = new MikroSchema<Author>({
    class: Author,
    properties: {
      id: { type: 'integer', primary: true, autoincrement: true },
      name: { type: 'text' },
    },
  })
  const orm = await MikroORM.init({ dbName: ':memory:', entities: [schema] })
  t.after(() => orm.close())
  await orm.schema.create()
  assert.match(String(mikroOrm.platformNameOf(orm)), /sqlite/i)
  assert.equal(mikroOrm.platformNameOf({}), undefined)

  const em = orm.em.fork()
  const author = em.create(Author, { name: 'Ada' })
  const wrapper = mikroOrm.findWrapper(author)
  assert.ok(wrapper !== null && mikroOrm.findWrapper({}) === null)
  assert.equal(mikroOrm.isInDatabase(author), false)
  await em.flush()
  assert.equal(mikroOrm.isInDatabase(author), true)
  assert.equal(mikroOrm.managerOf(author), em)
  assert.deepEqual([wrapper.hasPrimaryKey(), wrapper.getPrimaryKey()], [true, author.id])
  assert.equal(wrapper.__managed, true)
  mikroOrm.markAsNew(wrapper)
  assert.deepEqual([mikroOrm.isInDatabase(author), wrapper.__managed], [false, false])

  assert.equal(typeof mikroOrm.requireKysely(orm, null).executeQuery, 'function')
  await orm.em.fork().transactional((inside) => {
    assert.equal(mikroOrm.requireKysely(orm, inside), inside.getTransactionContext())
  })
})

test('Prisma has the root of a client, its provider, version, relations and errors', async (t) => {
  const name = generateClient('sqlite')
  const { PrismaClient } = (await import(
    `./.prisma/${name}/client/client.ts`
  )) as typeof import('./.prisma/sqlite/client/client.ts')
  const client = new PrismaClient({ adapter: new PrismaBetterSqlite3({ url: ':memory:' }) })
  t.after(() => client.$disconnect())
  const extended = client.$extends({ name: 'extended' })
  const root = prisma.rootOf(client)
  assert.ok(root !== undefined)
  assert.equal(prisma.rootOf(extended), root)
  await client.$transaction((tx) => Promise.resolve(assert.equal(prisma.rootOf(tx), root)))
  assert.equal(prisma.providerOf(extended), 'sqlite')
  assert.match(String(prisma.versionOf(client)), /^\d+\.\d+\.\d+/)
  assert.deepEqual([...prisma.relationsOf(extended, 'Book')], [['author', 'Author']])
  assert.ok(isDelegate(extended.user))
  const failed = await client.$executeRawUnsafe('insert into nowhere values (1)').then(
    () => null,
    (error: unknown) => error,
  )
  assert.match(String(prisma.adapterErrorOf(failed).originalMessage), /no such table/)
})
