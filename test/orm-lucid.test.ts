// Lucid: records that are saved with their files.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, test, type TestContext } from 'node:test'
import { Database } from '@adonisjs/lucid/database'
import { Adapter, BaseModel } from '@adonisjs/lucid/orm'
import type { TransactionClientContract } from '@adonisjs/lucid/types/database'
import type { LucidModel } from '@adonisjs/lucid/types/model'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type AttachmentHooks,
} from '../src/index.ts'
import { lucid, withAttachments } from '../src/orm/lucid/index.ts'
import { memory } from '../src/services/memory.ts'
import { databaseContract, ormContract, ormModels, type OrmApp } from '../src/testing/index.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { emptyDatabase, skipping } from './support/empty-database.ts'
import { countFarther, usual, varieties, type Variety } from './support/orm-varieties.ts'
import { text } from './support/storage.ts'

after(() => closeDatabases())

const logger = new Proxy({}, { get: () => () => undefined })
const emitter = { emit: () => undefined, hasListeners: () => false }

function connect({ name }: Kind, url: string, { connections }: Variety = usual): Database {
  const connection =
    name === 'SQLite'
      ? { client: 'better-sqlite3', connection: { filename: url }, useNullAsDefault: true }
      : {
          ...(name === 'PostgreSQL'
            ? { client: 'pg', connection: url }
            : { client: 'mysql2', connection: { uri: url, supportBigNumbers: true } as object }),
          pool: { min: 0, max: connections },
        }
  return new Database(
    { connection: 'main', connections: { main: connection } } as never,
    logger as never,
    emitter as never,
  )
}
/** Declares columns as `@column()` does. */
function columns(model: LucidModel, names: readonly string[], db: Database): void {
  model.$adapter = new Adapter(db)
  model.boot()
  for (const name of names)
    if (!model.$hasColumn(name)) model.$addColumn(name, { isPrimary: name === 'id' })
}
const tmp = (files: object): object =>
  Object.fromEntries(Object.entries(files).map(([name, input]) => [`${name}Tmp`, input]))

async function open(kind: Kind, variety: Variety): Promise<OrmApp<TransactionClientContract>> {
  const made = await emptyDatabase(kind)
  const db = connect(kind, made.url, variety)
  class User extends withAttachments(ormModels.User, BaseModel) {
    declare id: string
    declare name: string
  }
  class Member extends withAttachments(ormModels.Member, BaseModel) {
    declare id: string
    declare name: string
  }
  for (const model of [User, Member]) {
    columns(model, ['id', 'name'], db)
    model.selfAssignPrimaryKey = variety.recordId === 'uuid'
    await db.connection().schema.createTable(model.table, (table) => {
      if (variety.recordId === 'uuid') table.uuid('id').primary()
      else table.bigIncrements('id')
      table.text('name')
    })
  }
  await countFarther(kind, made.url, variety)
  const id = (): object => (variety.recordId === 'uuid' ? { id: randomUUID() } : {})
  const classes = { User, Member } as unknown as Readonly<Record<'Member' | 'User', typeof User>>
  return {
    database: lucid(db, { models: [User, Member] }),
    recordId: variety.recordId,
    create: async (model, name, files, client) =>
      String(
        (await classes[model].create({ ...id(), name, ...tmp(files) }, client && { client })).id,
      ),
    build(model, name, files) {
      const record = new classes[model]().fill({ ...id(), name, ...files })
      return {
        async save(client) {
          if (client !== undefined) record.useTransaction(client)
          return String((await record.save()).id)
        },
      }
    },
    async save(model, id, files, client) {
      const record = await classes[model].findOrFail(id, client && { client })
      await record.merge(tmp(files)).save()
    },
    destroy: async (model, id, client) =>
      (await classes[model].findOrFail(id, client && { client })).delete(),
    load: (client) =>
      User.query(client && { client })
        .preload('photo')
        .orderBy('name'),
    transaction: (run) => db.transaction(run),
    nested: (client, run) => client.transaction(run),
    names: async (model) => (await classes[model].query().orderBy('id')).map(({ name }) => name),
    async close() {
      await db.manager.closeAll()
      await made.close()
    },
  }
}

for (const kind of kinds)
  describe(`Lucid on ${kind.name}`, () => {
    const orSkip = skipping(kind)
    for (const variety of varieties(kind))
      ormContract({
        test: variety.test(orSkip),
        isSqlite: kind.name === 'SQLite',
        open: () => open(kind, variety),
      })
    databaseContract({
      test: orSkip,
      async create() {
        const app = await open(kind, usual)
        return { database: app.database as never, close: app.close }
      },
    })
  })

test('a COMMIT that fails is an error, and the record does not count as saved', async (t) => {
  const kind = kinds.find(({ name }) => name === 'PostgreSQL')!
  const made = await kind.create()
  if (made === null) return t.skip(kind.why)
  await made.database.close()
  const db = connect(kind, made.url)
  const attachments = { photo: hasOneAttached() }
  class Player extends withAttachments(attachments, BaseModel) {
    declare id: string
    declare team: number
  }
  columns(Player, ['id', 'team'], db)
  await db.rawQuery('create table teams (id int primary key)')
  await db.rawQuery(
    'create table players (id bigserial primary key, team int references teams deferrable initially deferred)',
  )
  const storage = createActiveStorage({
    database: lucid(db, { models: [Player] }),
    services: { memory: memory() },
    models: { Player: attachments },
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  await storage.migrate()
  const player = new Player().fill({ team: 7, photoTmp: text('a') })
  const fails = { code: '23503' }
  await assert.rejects(player.save(), fails)
  assert.equal(player.$isPersisted, false)
  await assert.rejects(
    storage.transaction((client) => Player.create({ team: 7 }, { client })),
    fails,
  )
  await assert.rejects(Player.createMany([{ team: 7, photoTmp: text('b') }]), fails)
  await assert.rejects(
    db.transaction((client) => Player.create({ team: 7, photoTmp: text('c') }, { client })),
    fails,
  )
  const client = await db.transaction()
  const another = await Player.create({ team: 7, photoTmp: text('d') }, { client })
  await assert.rejects(client.commit(), fails)
  assert.equal(another.$trx, undefined)
  await db.table('teams').insert({ id: 7 })
  await player.save()
  await storage.drain({ throwOnError: true })
  assert.equal((await player.photo.attachment())?.filename, 'a.txt')
  await storage.close()
  await db.manager.closeAll()
  await made.close()
})

const told: string[] = []
const bookAttachments = { cover: hasOneAttached(), pages: hasManyAttached({ maxFiles: 3 }) }
class Book
  extends withAttachments(bookAttachments, BaseModel)
  implements AttachmentHooks<typeof bookAttachments>
{
  declare id: number
  declare title: string
  coverFilename(filename: string): string {
    return `${this.title}-${filename}`
  }
  coverAfterUpload(file: { filename: string }): void {
    told.push(`${this.title}: ${file.filename}`)
  }
}

async function library(t: TestContext) {
  const made = await kinds[0]!.create()
  await made!.database.close()
  const db = connect(kinds[0]!, made!.url)
  columns(Book, ['id', 'title'], db)
  await db.connection().schema.createTable('books', (table) => {
    table.increments('id')
    table.text('title').unique()
  })
  const service = memory()
  const storage: ActiveStorage<{ Book: typeof bookAttachments }, TransactionClientContract> =
    createActiveStorage({
      database: lucid(db, { models: [Book] }),
      services: { memory: service },
      models: { Book: bookAttachments },
      secretKeyBase: 'a secret of the tests',
      logger: false,
    })
  await storage.migrate()
  told.length = 0
  t.after(async () => {
    await storage.close()
    await db.manager.closeAll()
    await made!.close()
  })
  return { db, storage, service }
}

test('hook methods run in create, createMany and updateOrCreate, and add no values of ours', async (t) => {
  const { storage, service } = await library(t)
  const book = await Book.create({ title: 'Maus', coverTmp: text('a') })
  assert.deepEqual(Object.keys(book.serialize()).toSorted(), ['id', 'title'])
  assert.equal((await book.coverDelayedUploads()).length, 1)
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'Maus-a.txt')
  assert.deepEqual(told, ['Maus: Maus-a.txt'])
  await Book.updateOrCreate({ title: 'Maus' }, { pagesTmp: [text('b')] })
  const [first] = await Book.createMany([{ title: 'A', coverTmp: text('c') }, { title: 'B' }])
  await storage.drain({ throwOnError: true })
  assert.equal((await first!.cover.attachment())?.filename, 'A-c.txt')
  assert.equal((await book.pages.attachments())[0]?.filename, 'b.txt')
  for (const each of await Book.all()) await each.delete()
  await storage.drain()
  assert.equal(service.objects.size, 0)
})

test("in a transaction of the app, a record's own handle takes part in it", async (t) => {
  const { db, storage } = await library(t)
  const book = await Book.create({ title: 'A' })
  await assert.rejects(
    db.transaction(async (client) => {
      const again = await Book.findOrFail(book.id, { client })
      await again.cover.attachLater(text('a'))
      throw new Error('the app gave up')
    }),
    /gave up/,
  )
  await assert.rejects(Book.create({ title: 'A', coverTmp: text('a') }), {
    code: 'SQLITE_CONSTRAINT_UNIQUE',
  })
  assert.throws(() => new Book().cover, { code: 'INVALID_INPUT', message: /not saved yet/ })
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})

test('a record saved again after a rollback attaches its files again, and once', async (t) => {
  const { db, storage } = await library(t)
  const book = new Book().fill({ title: 'A', pagesTmp: [text('a')] })
  for (let round = 0; round < 2; round += 1) {
    await assert.rejects(
      db.transaction(async (client) => {
        await book.useTransaction(client).save()
        await book.save()
        throw new Error('deadlock')
      }),
      /deadlock/,
    )
    book.$isPersisted = false
  }
  await db.transaction(async (client) => {
    await client.transaction((inner) => book.useTransaction(inner).save())
    await book.useTransaction(client).save()
  })
  await book.save()
  await storage.drain({ throwOnError: true })
  assert.deepEqual(
    (await book.pages.attachments()).map(({ filename }) => filename),
    ['a.txt'],
  )
})

test('the next save attaches files of a rolled-back savepoint, even if its transaction commits', async (t) => {
  const { db, storage } = await library(t)
  const book = await Book.create({ title: 'A' })
  book.pagesTmp = [text('a')]
  await db.transaction(async (client) => {
    await assert.rejects(
      client.transaction(async (inner) => {
        await inner.transaction((innermost) => book.useTransaction(innermost).save())
        throw new Error('the savepoint')
      }),
      /the savepoint/,
    )
  })
  await book.save()
  await book.save()
  await storage.drain({ throwOnError: true })
  assert.equal((await book.pages.attachments()).length, 1)
})

test('a record whose files were refused is saved again unchanged', async (t) => {
  const { storage } = await library(t)
  const pages = ['a', 'b', 'c', 'd'].map((each) => text(each))
  const book = new Book().fill({ title: 'A' })
  await assert.rejects(book.merge({ pagesTmp: pages }).save(), { code: 'TOO_MANY_FILES' })
  await Book.create({ title: 'another, with the id that was rolled back' })
  await book.merge({ pagesTmp: pages.slice(0, 3) }).save()
  await storage.drain({ throwOnError: true })
  await assert.rejects(book.merge({ title: 'B', pagesTmp: [text('d')] }).save(), {
    code: 'TOO_MANY_FILES',
  })
  await book.merge({ pagesTmp: null }).save()
  const again = await Book.query().where('id', book.id).preload('pages').firstOrFail()
  assert.equal(again.title, 'B')
  await again.pages.attachments()
  await storage.record('Book', book.id).pages.detach()
  assert.equal((await again.pages.attachments()).length, 3)
  assert.equal((await (await again.refresh()).pages.attachments()).length, 0)
})

test('preload and load read the attachments of related records', async (t) => {
  const { storage } = await library(t)
  await Book.create({ title: 'A', coverTmp: text('a') })
  await storage.drain({ throwOnError: true })
  const later = await Book.firstOrFail()
  await later.load('cover')
  const books = [later, await Book.query().preload('cover').preload('pages').firstOrFail()]
  await storage.record('Book', later.id).cover.detach()
  for (const book of books) assert.equal((await book.cover.attachment())?.filename, 'A-a.txt')
  assert.throws(() => Book.query().preload('covre' as never), /covre/)
})

test('a value created or merged under the name of an attachment is attached', async (t) => {
  const { storage } = await library(t)
  const book = await Book.create({ title: 'A', cover: text('a'), pages: [text('b')] })
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-a.txt')
  assert.equal((await book.pages.attachments())[0]?.filename, 'b.txt')
  await book.merge({ cover: text('c') }).save()
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-c.txt')
})

test('a record that hooks of the app hide keeps its files', async (t) => {
  const { storage } = await library(t)
  const { id } = await Book.create({ title: 'A', coverTmp: text('a') })
  Book.before('find', (query) => void query.whereNull('title'))
  t.after(() => void Book.$hooks.clear('before:find'))
  await storage.drain({ throwOnError: true })
  assert.equal(await Book.find(id), null)
  await storage.reconcile({ olderThan: '0s' })
  assert.equal((await storage.record('Book', id).cover.attachment())?.filename, 'A-a.txt')
})
