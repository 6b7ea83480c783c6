// MikroORM: entities that are flushed with their files.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, test, type TestContext } from 'node:test'
import {
  Collection,
  EntitySchema,
  MikroORM,
  type EntityManager,
  type Options,
  type RequiredEntityData,
} from '@mikro-orm/core'
import { MariaDbDriver } from '@mikro-orm/mariadb'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type AttachmentHooks,
} from '../src/index.ts'
import { mikroOrm, withAttachments } from '../src/orm/mikro-orm/index.ts'
import { memory } from '../src/services/memory.ts'
import { databaseContract, ormContract, ormModels, type OrmApp } from '../src/testing/index.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { emptyDatabase, notThere, skipping } from './support/empty-database.ts'
import { countFarther, usual, varieties, type Variety } from './support/orm-varieties.ts'
import { text } from './support/storage.ts'

after(() => closeDatabases())

class User extends withAttachments(ormModels.User) {
  id!: string
  name!: string
}
class Member extends withAttachments(ormModels.Member) {
  id!: string
  name!: string
}
const classes = { User, Member } as unknown as Readonly<Record<'Member' | 'User', typeof User>>

const connect = (
  { name }: Kind,
  url: string,
  entities: unknown[],
  { connections }: Variety = usual,
): Promise<MikroORM> =>
  MikroORM.init({
    ...(name === 'SQLite'
      ? { driver: SqliteDriver, dbName: url }
      : {
          driver: name === 'PostgreSQL' ? PostgreSqlDriver : MariaDbDriver,
          clientUrl: url.replace(/^mysql:/, 'mariadb:'),
        }),
    entities,
    pool: { min: 0, max: connections },
    metadataCache: { enabled: false },
  } as unknown as Options)

const tmp = (files: object): object =>
  Object.fromEntries(Object.entries(files).map(([name, input]) => [`${name}Tmp`, input]))

async function open(kind: Kind, variety: Variety): Promise<OrmApp<EntityManager>> {
  const made = await emptyDatabase(kind)
  const id =
    variety.recordId === 'uuid'
      ? ({ type: 'uuid', primary: true, onCreate: () => randomUUID() } as const)
      : ({
          type: kind.name === 'SQLite' ? 'integer' : 'bigint',
          primary: true,
          autoincrement: true,
        } as const)
  const schemas = [
    new EntitySchema<User>({
      class: User,
      tableName: 'users',
      properties: { id, name: { type: 'text' } },
    } as never),
    new EntitySchema<Member>({
      class: Member,
      tableName: 'members',
      properties: { id, name: { type: 'text' } },
    } as never),
  ]
  const orm = await connect(kind, made.url, schemas, variety)
  await orm.schema.create()
  // Ids of MariaDB stay small, because MikroORM reads them as numbers.
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
    build(model, name, files) {
      const own = orm.em.fork()
      const record = own.create(classes[model], { name, ...files } as never, { persist: false })
      return {
        async save(em = own) {
          em.persist(record)
          await em.flush()
          return String(record.id)
        },
      }
    },
    async save(model, id, files, em = orm.em.fork()) {
      em.assign(await em.findOneOrFail(classes[model], { id } as never), tmp(files) as never)
      await em.flush()
    },
    async destroy(model, id, em = orm.em.fork()) {
      em.remove(await em.findOneOrFail(classes[model], { id } as never))
      await em.flush()
    },
    load: (em = orm.em.fork()) =>
      em.find(User, {}, { populate: ['photo'], orderBy: { name: 'asc' } as never }),
    transaction: (run) => orm.em.fork().transactional(run),
    nested: (em, run) => em.transactional(run),
    names: async (model) =>
      (await orm.em.fork().find(classes[model], {}, { orderBy: { id: 'asc' } as never })).map(
        ({ name }) => name,
      ),
    async close() {
      await orm.close()
      await made.close()
    },
  }
}

for (const kind of kinds)
  describe(`MikroORM on ${kind.name}`, () => {
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

const told: string[] = []
const bookAttachments = {
  cover: hasOneAttached({ maxSize: '1 KB' }),
  pages: hasManyAttached({ maxFiles: 3 }),
}
class Book
  extends withAttachments(bookAttachments)
  implements AttachmentHooks<typeof bookAttachments>
{
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
  friends = new Collection<Author>(this)
}

const bookshelf = (url: string, kind = kinds[0]!): Promise<MikroORM> => {
  const id = { type: 'integer', primary: true, autoincrement: true } as const
  return connect(kind, url, [
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
      properties: {
        id,
        books: { kind: '1:m', entity: () => Book, mappedBy: 'author' },
        friends: { kind: 'm:n', entity: () => Author, owner: true, pivotTable: 'friends' },
      },
    } as never),
  ])
}

async function library(t: TestContext, kind = kinds[0]!) {
  const made = await emptyDatabase(kind)
  const orm = await bookshelf(made.url, kind)
  await orm.schema.create()
  const service = memory()
  const storage: ActiveStorage<{ Book: typeof bookAttachments }, EntityManager> =
    createActiveStorage({
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
    await made.close()
  })
  return { em: orm.em.fork(), orm, storage, service, url: made.url }
}

test('created, assigned and found entities have their files, hooks, and no property of ours', async (t) => {
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

test('a flush attaches the files of cascaded entities and of literals', async (t) => {
  const { em, storage } = await library(t)
  const author = em.create(Author, { books: [{ title: 'A', coverTmp: text('a') }] } as never)
  const book = new Book()
  Object.assign(book, { title: 'B', coverTmp: text('b') })
  author.books.add(book)
  await em.flush()
  await storage.drain({ throwOnError: true })
  const names = await Promise.all(
    author.books.getItems().map(async (each) => (await each.cover.attachment())?.filename),
  )
  assert.deepEqual(names.toSorted(), ['A-a.txt', 'B-b.txt'])
})

test('an operation that would lose a file is refused; a failed flush leaves nothing', async (t) => {
  const { em, storage } = await library(t)
  const data = { title: 'A', coverTmp: text('a') } as never
  const calls = [
    () => em.insert(Book, data),
    () => em.insertMany(Book, [data]),
    () => em.upsert(Book, data),
    () => em.nativeUpdate(Book, { id: 1 }, data),
  ]
  for (const call of calls) await assert.rejects(async () => call(), { code: 'CONFIGURATION' })
  assert.throws(() => new Book().cover, { code: 'INVALID_INPUT', message: /not saved yet/ })
  em.create(Book, { title: 'A' })
  await em.flush()
  const fork = em.fork()
  fork.create(Book, { title: 'A', coverTmp: text('a') })
  await assert.rejects(fork.flush(), { name: 'UniqueConstraintViolationException' })
  assert.equal(await em.fork().count(Book), 1)
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})

test('files of a savepoint are not flushed again, except after its rollback', async (t) => {
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

test('populate reads the attachments of related entities', async (t) => {
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
    (
      await fork().findByCursor(Author, {
        orderBy: { id: 'asc' } as never,
        first: 1,
        populate: ['books.pages'] as never,
      })
    ).items[0]!,
  ]
  const books = found.map((each) => each.books.getItems()[0])
  await storage.record('Book', books[0]!.id).cover.detach()
  for (const book of books) assert.equal((await book?.cover.attachment())?.filename, 'A-a.txt')
  await later.refresh(books[0]!)
  assert.equal(await books[0]!.cover.attachment(), null)
  await assert.rejects(fork().findAll(Book, { populate: ['covre'] as never }), /covre/)
})

test('a value created or assigned under the name of an attachment is attached', async (t) => {
  const { em, storage } = await library(t)
  const book = em.create(Book, {
    title: 'A',
    cover: text('a'),
    pages: [text('b')],
  } as RequiredEntityData<Book>)
  await em.flush()
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-a.txt')
  assert.equal((await book.pages.attachments())[0]?.filename, 'b.txt')
  em.assign(book, { cover: text('c') })
  await em.flush()
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-c.txt')
})

const big = () => ({ io: Buffer.alloc(1025), filename: 'big.txt' })

test('the next flush inserts the entities of a failed flush and their files', async (t) => {
  const { em, orm, storage } = await library(t)
  const flushes: ((run: EntityManager) => Promise<unknown>)[] = [
    (run) => run.flush(),
    (run) => run.transactional((inner) => inner.transactional((innermost) => innermost.flush())),
    async (run) => {
      await run.begin()
      try {
        await run.flush()
      } finally {
        await run.rollback()
      }
    },
  ]
  for (const flush of flushes) {
    const friend = em.create(Author, {} as never)
    const author = em.create(Author, {
      books: [{ title: 'A', pagesTmp: ['a', 'b', 'c', 'd'].map((each) => text(each)) }],
    } as never)
    author.friends.add(friend)
    await assert.rejects(flush(em), { code: 'TOO_MANY_FILES' })
    const [book] = author.books.getItems()
    assert.throws(() => book!.pages, { code: 'INVALID_INPUT', message: /not saved yet/ })
    // Others may have its ids by now.
    const other = orm.em.fork()
    other.create(Author, { books: [{ title: 'B' }] } as never)
    await other.flush()
    book!.pagesTmp = [text('a')]
    await em.flush()
    await storage.drain({ throwOnError: true })
    const found = await orm.em
      .fork()
      .findOneOrFail(Author, author.id as never, { populate: ['books.pages', 'friends'] as never })
    assert.deepEqual(
      (await found.books[0]!.pages.attachments()).map(({ filename }) => filename),
      ['a.txt'],
    )
    assert.equal(found.friends[0]!.id, friend.id)
    assert.equal(await em.count(Book), 2)
    await em.nativeDelete(Book, {})
    em.clear()
  }
})

test('entities of a rolled-back transaction or savepoint are inserted again', async (t) => {
  const { em, orm, storage } = await library(t)
  const book = em.create(Book, { title: 'A', coverTmp: text('a') })
  await em.begin()
  await em.flush()
  await em.rollback()
  const twice = em.transactional(async (outer) => {
    await outer.transactional((inner) => inner.flush())
    throw new Error('deadlock')
  })
  await assert.rejects(twice, /deadlock/)
  await em.flush()
  await storage.drain({ throwOnError: true })
  assert.equal(
    (await (await orm.em.fork().findOneOrFail(Book, book.id)).cover.attachment())?.filename,
    'A-a.txt',
  )
  assert.equal(await em.count(Book), 1)
})

test('concurrent flushes of one manager wait for each other', { timeout: 20_000 }, async (t) => {
  // PostgreSQL has a connection for each transaction.
  const kind = kinds.find(({ name }) => name === 'PostgreSQL')!
  const made = await library(t, kind).catch((error: unknown) => {
    if (error !== notThere) throw error
    return null
  })
  if (made === null) return t.skip(kind.why)
  const { em, storage } = made
  const books = await Promise.all(
    ['A', 'B', 'C'].map(async (title) => {
      const book = em.create(Book, { title, coverTmp: text(title) })
      await em.flush()
      return book
    }),
  )
  books[0]!.pagesTmp = [text('p')]
  await Promise.all([em.flush(), em.flush()])
  books[1]!.coverTmp = big()
  const [first, second] = [em.flush(), em.flush()]
  await assert.rejects(first, { code: 'FILE_TOO_LARGE' })
  await assert.rejects(second, { code: 'FILE_TOO_LARGE' })
  books[1]!.coverTmp = text('D')
  await em.flush()
  await storage.drain({ throwOnError: true })
  const names = await Promise.all(
    books.map(async (book) => (await book.cover.attachment())?.filename),
  )
  assert.deepEqual(names, ['A-A.txt', 'B-D.txt', 'C-C.txt'])
  assert.equal((await books[0]!.pages.attachments()).length, 1)
})

test('managers forked before the ORM was bound attach files; unbound managers refuse them', async (t) => {
  const { em, orm, storage, url } = await library(t)
  const fresh = orm.em.fork({ freshEventManager: true })
  const book = fresh.create(Book, { title: 'A', coverTmp: text('a') })
  await fresh.flush()
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-a.txt')
  const unbound = await bookshelf(url)
  t.after(() => unbound.close())
  const early = unbound.em.fork()
  const refused = { code: 'CONFIGURATION', message: /Book.*not bound.*mikroOrm\(orm\)/ }
  early.create(Book, { title: 'B' })
  await early.flush()
  const found = await early.findOneOrFail(Book, { title: 'B' })
  found.coverTmp = text('b')
  await assert.rejects(early.flush(), refused)
  const other = unbound.em.fork()
  other.create(Author, { books: [{ title: 'C', coverTmp: text('c') }] } as never)
  await assert.rejects(other.flush(), refused)
  const removing = unbound.em.fork()
  removing.remove(await removing.findOneOrFail(Book, { title: 'A' }))
  await assert.rejects(removing.flush(), refused)
  await assert.rejects(unbound.em.fork().find(Book, {}, { populate: ['cover'] as never }), refused)
  assert.equal(await em.fork().count(Book), 2)
  mikroOrm(unbound)
  await early.flush()
  await storage.drain({ throwOnError: true })
  assert.equal((await found.cover.attachment())?.filename, 'B-b.txt')
})

test('a refresh, or a find without populate, clears attachments that were loaded', async (t) => {
  const { em, storage } = await library(t)
  em.create(Book, { title: 'A', coverTmp: text('a') })
  await em.flush()
  await storage.drain({ throwOnError: true })
  const again: ((book: Book) => Promise<unknown>)[] = [
    (book) => em.refresh(book),
    () => em.find(Book, {}),
    ({ id }) => em.findOne(Book, { id }),
  ]
  for (const [index, read] of again.entries()) {
    const [book] = await em.find(Book, {}, { populate: ['cover'] as never })
    const before = (await book!.cover.attachment())?.filename
    await storage.record('Book', book!.id).cover.attach(text(`${index}`))
    assert.equal((await book!.cover.attachment())?.filename, before)
    await read(book!)
    assert.equal((await book!.cover.attachment())?.filename, `${index}.txt`)
  }
})
