// MikroORM: entities that are flushed with their files.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, test, type TestContext } from 'node:test'
import { Collection, EntitySchema, MikroORM, type EntityManager, type Options, type RequiredEntityData } from '@mikro-orm/core'
import { MariaDbDriver } from '@mikro-orm/mariadb'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { createActiveStorage, hasManyAttached, hasOneAttached, type ActiveStorage, type AttachmentHooks } from '../src/index.ts'
import { mikroOrm, withAttachments } from '../src/orm/mikro-orm/index.ts'
import { memory } from '../src/services/memory.ts'
import { databaseContract, ormContract, ormModels, type OrmApp } from '../src/testing/index.ts'
import { kinds, stopEmbedded, type Kind } from './support/databases.ts'
import { countFarther, usual, varieties, type Variety } from './support/orm-varieties.ts'
import { text } from './support/storage.ts'

after(() => stopEmbedded())

class User extends withAttachments(ormModels.User) {
  id!: string
  name!: string
}
class Member extends withAttachments(ormModels.Member) {
  id!: string
  name!: string
}
const classes = { User, Member } as unknown as Readonly<Record<'Member' | 'User', typeof User>>

const connect = ({ name }: Kind, url: string, entities: unknown[], { connections }: Variety = usual): Promise<MikroORM> =>
  MikroORM.init({
    ...(name === 'SQLite'
      ? { driver: SqliteDriver, dbName: url }
      : { driver: name === 'PostgreSQL' ? PostgreSqlDriver : MariaDbDriver, clientUrl: url.replace(/^mysql:/, 'mariadb:') }),
    entities,
    pool: { min: 0, max: connections },
    metadataCache: { enabled: false },
  } as unknown as Options)

const notThere = new Error('not there')
const tmp = (files: object): object => Object.fromEntries(Object.entries(files).map(([name, input]) => [`${name}Tmp`, input]))

async function open(kind: Kind, variety: Variety): Promise<OrmApp<EntityManager>> {
  const made = await kind.create()
  if (made === null) throw notThere
  await made.database.close()
  const id =
    variety.recordId === 'uuid'
      ? ({ type: 'uuid', primary: true, onCreate: () => randomUUID() } as const)
      : ({ type: kind.name === 'SQLite' ? 'integer' : 'bigint', primary: true, autoincrement: true } as const)
  const schemas = [
    new EntitySchema<User>({ class: User, tableName: 'users', properties: { id, name: { type: 'text' } } } as never),
    new EntitySchema<Member>({ class: Member, tableName: 'members', properties: { id, name: { type: 'text' } } } as never),
  ]
  const orm = await connect(kind, made.url, schemas, variety)
  await orm.schema.create()
  // What MariaDB counts up, MikroORM reads as a number.
  if (kind.name === 'PostgreSQL') await countFarther(kind, made.url, variety)
  return {
    database: mikroOrm(orm),
    recordId: variety.recordId,
    async create(model, name, files, em = orm.em.fork()) {
      const record = em.create(classes[model], { name, ...tmp(files) } as never)
      em.persist(record)
      await em.flush()
      return String(record.id)
    },
    async save(model, id, files, em = orm.em.fork()) {
      em.assign(await em.findOneOrFail(classes[model], { id } as never), tmp(files) as never)
      await em.flush()
    },
    async destroy(model, id, em = orm.em.fork()) {
      em.remove(await em.findOneOrFail(classes[model], { id } as never))
      await em.flush()
    },
    load: (em = orm.em.fork()) => em.find(User, {}, { populate: ['photo'], orderBy: { name: 'asc' } as never }),
    transaction: (run) => orm.em.fork().transactional(run),
    nested: (em, run) => em.transactional(run),
    names: async (model) => (await orm.em.fork().find(classes[model], {}, { orderBy: { id: 'asc' } as never })).map(({ name }) => name),
    async close() {
      await orm.close()
      await made.close()
    },
  }
}

for (const kind of kinds)
  describe(`MikroORM on ${kind.name}`, () => {
    const skipping = (title: string, run: () => Promise<void>) =>
      test(title, (t) =>
        run().catch((error: unknown) => {
          if (error !== notThere) throw error
          t.skip(`${kind.name}: ${kind.why}`)
        }),
      )
    for (const variety of varieties(kind)) ormContract({ test: variety.test(skipping), open: () => open(kind, variety) })
    databaseContract({
      test: skipping,
      async create() {
        const app = await open(kind, usual)
        return { database: app.database as never, close: app.close }
      },
    })
  })

const told: string[] = []
const bookAttachments = { cover: hasOneAttached(), pages: hasManyAttached({ maxFiles: 3 }) }
class Book extends withAttachments(bookAttachments) implements AttachmentHooks<typeof bookAttachments> {
  id!: number
  title!: string
  updatedAt?: Date
  author?: Author
  coverFilename(filename: string): string {
    return `${this.title}-${filename}`
  }
  coverAfterUpload(file: { filename: string }): void {
    told.push(`${this.title}: ${file.filename}`)
  }
}
class Author {
  id!: number
  books = new Collection<Book>(this)
}

async function library(t: TestContext) {
  const made = await kinds[0]!.create()
  await made!.database.close()
  const id = { type: 'integer', primary: true, autoincrement: true } as const
  const orm = await connect(kinds[0]!, made!.url, [
    new EntitySchema<Book>({
      class: Book,
      properties: {
        id,
        title: { type: 'text', unique: true },
        updatedAt: { type: 'datetime', nullable: true, onUpdate: () => new Date() },
        author: { kind: 'm:1', entity: () => Author, inversedBy: 'books', nullable: true },
      },
    } as never),
    new EntitySchema<Author>({
      class: Author,
      properties: { id, books: { kind: '1:m', entity: () => Book, mappedBy: 'author' } },
    } as never),
  ])
  await orm.schema.create()
  const service = memory()
  const storage: ActiveStorage<{ Book: typeof bookAttachments }, EntityManager> = createActiveStorage({
    database: mikroOrm(orm),
    services: { memory: service },
    models: { Book: bookAttachments },
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  await storage.migrate()
  told.length = 0
  t.after(async () => {
    await storage.close()
    await orm.close()
    await made!.close()
  })
  return { em: orm.em.fork(), orm, storage, service }
}

test('created, assigned and found entities have their files, hooks are methods, and nothing of ours is a property', async (t) => {
  const { em, orm, storage, service } = await library(t)
  const book = em.create(Book, { title: 'Maus', coverTmp: text('a') })
  await em.flush()
  assert.ok(!Object.keys(book).some((key) => /cover|pages/.test(key)))
  assert.ok(!/cover|pages/.test(JSON.stringify(book)))
  assert.equal((await book.coverDelayedUploads()).length, 1)
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'Maus-a.txt')
  assert.deepEqual(told, ['Maus: Maus-a.txt'])
  assert.ok((await orm.em.fork().findOneOrFail(Book, book.id)).updatedAt instanceof Date)
  // One flush, of one that changes, one that is new, and one that has nothing but files.
  const other = em.create(Book, { title: 'B' })
  await em.flush()
  other.pagesTmp = [text('b')]
  book.title = 'Maus II'
  em.create(Book, { title: 'C', pagesTmp: [text('c')] })
  await em.flush()
  await storage.drain({ throwOnError: true })
  assert.equal((await other.pages.attachments())[0]?.filename, 'b.txt')
  for (const each of await em.findAll(Book)) em.remove(each)
  await em.flush()
  await storage.drain()
  assert.equal(service.objects.size, 0)
})

test('what a flush cascades to brings its files; literals do too', async (t) => {
  const { em, storage } = await library(t)
  const author = em.create(Author, { books: [{ title: 'A', coverTmp: text('a') }] } as never)
  const book = new Book()
  Object.assign(book, { title: 'B', coverTmp: text('b') })
  author.books.add(book)
  await em.flush()
  await storage.drain({ throwOnError: true })
  const names = await Promise.all(author.books.getItems().map(async (each) => (await each.cover.attachment())?.filename))
  assert.deepEqual(names.toSorted(), ['A-a.txt', 'B-b.txt'])
})

test('what would drop a file is refused, and a flush that fails leaves nothing', async (t) => {
  const { em, storage } = await library(t)
  const data = { title: 'A', coverTmp: text('a') } as never
  const calls = [
    () => em.insert(Book, data),
    () => em.insertMany(Book, [data]),
    () => em.upsert(Book, data),
    () => em.nativeUpdate(Book, { id: 1 }, data),
  ]
  for (const call of calls) await assert.rejects(async () => call(), { code: 'CONFIGURATION' })
  assert.throws(() => new Book().cover, { code: 'CONFIGURATION', message: /not saved yet/ })
  em.create(Book, { title: 'A' })
  await em.flush()
  const fork = em.fork()
  fork.create(Book, { title: 'A', coverTmp: text('a') })
  await assert.rejects(fork.flush(), { name: 'UniqueConstraintViolationException' })
  assert.equal(await em.fork().count(Book), 1)
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})

test('what was flushed in a savepoint is not flushed again; what was rolled back is', async (t) => {
  const { em, storage } = await library(t)
  const book = em.create(Book, { title: 'A' })
  await em.flush()
  book.pagesTmp = [text('a')]
  for (let round = 0; round < 2; round += 1)
    await assert.rejects(
      em.transactional(async (inner) => {
        await inner.flush()
        throw new Error('deadlock')
      }),
      /deadlock/,
    )
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
  await em.transactional(async (outer) => {
    await outer.transactional((inner) => inner.flush())
    await outer.flush()
  })
  await em.flush()
  await storage.drain({ throwOnError: true })
  assert.deepEqual(
    (await book.pages.attachments()).map(({ filename }) => filename),
    ['a.txt'],
  )
})

test('what related entities have is read with them: populate that names attachments', async (t) => {
  const { em, orm, storage } = await library(t)
  em.create(Author, { books: [{ title: 'A', coverTmp: text('a') }] } as never)
  await em.flush()
  await storage.drain({ throwOnError: true })
  const fork = (): EntityManager => orm.em.fork()
  const later = fork()
  const author = await later.findOneOrFail(Author, { id: 1 } as never)
  await later.populate(author, ['books.cover'] as never)
  const found = [
    author,
    await fork().findOneOrFail(Author, { id: 1 } as never, { populate: ['books.cover'] as never }),
    ...(await fork().findAll(Author, { populate: ['books', 'books.cover'] as never })),
    (await fork().findAndCount(Author, {}, { populate: ['books.pages'] as never }))[0][0]!,
    (await fork().findByCursor(Author, { orderBy: { id: 'asc' } as never, first: 1, populate: ['books.pages'] as never })).items[0]!,
  ]
  const books = found.map((each) => each.books.getItems()[0])
  await storage.record('Book', books[0]!.id).cover.detach()
  for (const book of books) assert.equal((await book?.cover.attachment())?.filename, 'A-a.txt')
  await later.refresh(books[0]!)
  assert.equal(await books[0]!.cover.attachment(), null)
  await assert.rejects(fork().findAll(Book, { populate: ['covre'] as never }), /covre/)
})

test('what is created or assigned under the name of an attachment is attached', async (t) => {
  const { em, storage } = await library(t)
  const book = em.create(Book, { title: 'A', cover: text('a'), pages: [text('b')] } as RequiredEntityData<Book>)
  await em.flush()
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-a.txt')
  assert.equal((await book.pages.attachments())[0]?.filename, 'b.txt')
  em.assign(book, { cover: text('c') })
  await em.flush()
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-c.txt')
})
