// TypeORM: entities that are saved with their files.
import assert from 'node:assert/strict'
import { after, describe, test, type TestContext } from 'node:test'
import {
  BaseEntity,
  DataSource,
  EntityManager,
  EntitySchema,
  type DataSourceOptions,
} from 'typeorm'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type ActiveStorageError,
  type AttachmentHooks,
} from '../src/index.ts'
import { typeorm, withAttachments } from '../src/orm/typeorm/index.ts'
import { memory } from '../src/services/memory.ts'
import { databaseContract, ormContract, ormModels, type OrmApp } from '../src/testing/index.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { emptyDatabase, skipping } from './support/empty-database.ts'
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
const classes = { User, Member }

const optionsOf = ({ name }: Kind, url: string, { connections }: Variety): DataSourceOptions =>
  name === 'SQLite'
    ? { type: 'better-sqlite3', database: url }
    : name === 'PostgreSQL'
      ? { type: 'postgres', url, poolSize: connections }
      : { type: 'mariadb', url, poolSize: connections }

const idOf = ({ name }: Kind, { recordId }: Variety) =>
  recordId === 'uuid'
    ? ({ type: 'uuid', primary: true, generated: 'uuid' } as const)
    : ({
        type: name === 'SQLite' ? 'integer' : 'bigint',
        primary: true,
        generated: 'increment',
      } as const)

function schemasOf(kind: Kind, variety: Variety): EntitySchema<User | Member>[] {
  const columns = { id: idOf(kind, variety), name: { type: 'text' } } as const
  return [
    new EntitySchema<User>({ name: 'User', target: User, tableName: 'users', columns }),
    new EntitySchema<Member>({ name: 'Member', target: Member, tableName: 'members', columns }),
  ] as EntitySchema<User | Member>[]
}

const storageOf = ({ database }: OrmApp<EntityManager>) =>
  createActiveStorage({
    database,
    services: { memory: memory() },
    models: ormModels,
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })

async function open(
  kind: Kind,
  variety: Variety,
): Promise<OrmApp<EntityManager> & { manager: EntityManager }> {
  const made = await emptyDatabase(kind)
  const dataSource = new DataSource({
    ...optionsOf(kind, made.url, variety),
    entities: schemasOf(kind, variety),
    synchronize: true,
  })
  const database = typeorm(dataSource)
  await dataSource.initialize()
  const tmp = (files: object): object =>
    Object.fromEntries(Object.entries(files).map(([name, input]) => [`${name}Tmp`, input]))
  await countFarther(kind, made.url, variety)
  return {
    database,
    manager: dataSource.manager,
    recordId: variety.recordId,
    async create(model, name, files, tx = dataSource.manager) {
      const saved = await tx.save(tx.create(classes[model] as typeof User, { name, ...tmp(files) }))
      return String(saved.id)
    },
    build(model, name, files) {
      const record = dataSource.manager.create(classes[model] as typeof User, { name, ...files })
      return { save: async (tx = dataSource.manager) => String((await tx.save(record)).id) }
    },
    async save(model, id, files, tx = dataSource.manager) {
      const record = await tx.findOneByOrFail(classes[model] as typeof User, { id })
      await tx.save(Object.assign(record, tmp(files)))
    },
    async destroy(model, id, tx = dataSource.manager) {
      await tx.remove(await tx.findOneByOrFail(classes[model] as typeof User, { id }))
    },
    load: (tx = dataSource.manager) =>
      tx.find(User, { relations: { photo: true }, order: { name: 'asc' } }),
    transaction: (run) => dataSource.transaction(run),
    nested: (tx, run) => tx.transaction(run),
    names: async (model) =>
      (await dataSource.manager.find(classes[model] as typeof User, { order: { id: 'asc' } })).map(
        ({ name }) => name,
      ),
    async close() {
      await dataSource.destroy()
      await made.close()
    },
  }
}

for (const kind of kinds)
  describe(`TypeORM on ${kind.name}`, () => {
    const orSkip = skipping(kind)
    for (const variety of varieties(kind))
      ormContract({
        test: variety.test(orSkip),
        isSqlite: kind.name === 'SQLite',
        open: () => open(kind, variety),
      })
    orSkip('a record that is saved twice at a time brings its files once', async () => {
      const app = await open(kind, usual)
      const storage = storageOf(app)
      try {
        await storage.migrate()
        const id = await app.create('User', 'Ada', {})
        const { manager } = app
        const user = await manager.findOneByOrFail(User, { id })
        user.certificatesTmp = [text('a'), text('b')]
        await Promise.all([manager.save(user), manager.save(user), manager.save(user)])
        user.certificatesTmp = [text('c')]
        // On SQLite there is one transaction of the app's at a time.
        if (kind.name === 'SQLite') await manager.save(user)
        else
          await Promise.allSettled([
            app.transaction((tx) => tx.save(user)),
            app.transaction((tx) => tx.save(user)),
          ])
        await storage.drain({ throwOnError: true })
        const attached = await storage.record('User', id).certificates.attachments()
        assert.deepEqual(
          attached.map(({ filename }) => filename),
          ['a.txt', 'b.txt', 'c.txt'],
        )
      } finally {
        await storage.close()
        await app.close()
      }
    })
    orSkip(
      "what a record's own handle does is in the transaction that the record was met in, while that is open",
      async () => {
        const app = await open(kind, kind.name === 'SQLite' ? usual : { ...usual, connections: 1 })
        const storage = storageOf(app)
        try {
          await storage.migrate()
          const id = await app.create('User', 'Ada', { photo: text('a') })
          await storage.drain({ throwOnError: true })
          const rollback = new Error('rollback')
          let kept: User | undefined
          const inTransaction = app.transaction(async (tx) => {
            kept = await tx.findOneByOrFail(User, { id })
            assert.equal(await kept.photo.attached(), true)
            await kept.photo.purge()
            assert.equal(await kept.photo.attached(), false)
            const bob = await tx.save(tx.create(User, { name: 'Bob' }))
            await bob.photo.attachLater(text('b'))
            throw rollback
          })
          await assert.rejects(inTransaction, rollback)
          assert.equal(await kept!.photo.attached(), true)
          assert.equal((await storage.delayedUploads.stats()).pending, 0)
          await app.transaction(async () => undefined)
          await kept!.photo.purge()
          assert.equal(await kept!.photo.attached(), false)
        } finally {
          await storage.close()
          await app.close()
        }
      },
    )
    databaseContract({
      test: orSkip,
      async create() {
        const app = await open(kind, usual)
        return { database: app.database as never, close: app.close }
      },
    })
  })

const told: string[] = []
const bookAttachments = { cover: hasOneAttached(), pages: hasManyAttached({ maxFiles: 3 }) }
class Book
  extends withAttachments(bookAttachments, BaseEntity)
  implements AttachmentHooks<typeof bookAttachments>
{
  id!: number
  title!: string
  updatedAt!: Date
  deletedAt?: Date | null
  scan?: Buffer | null
  author?: Author
  coverFilename(filename: string): string {
    return `${this.title}-${filename}`
  }
  coverAfterUpload(file: { filename: string }): void {
    told.push(`${this.title}: ${file.filename}`)
  }
  coverErrorUpload(error: ActiveStorageError): void {
    told.push(`${this.title}: ${error.message}`)
  }
}
class Comic extends Book {
  pagesFilename(filename: string): string {
    return `comic-${filename}`
  }
  coverAfterUploadAll(): void {
    told.push(`${this.title}: all`)
  }
}
class Author {
  id!: number
  books!: Book[]
}

async function library(t: TestContext) {
  const made = await kinds[0]!.create()
  await made!.database.close()
  const id = { type: 'integer', primary: true, generated: 'increment' } as const
  const book = {
    id,
    title: { type: 'text' },
    updatedAt: { type: 'datetime', updateDate: true },
  } as const
  const more = {
    deletedAt: { type: 'datetime', deleteDate: true, nullable: true },
    scan: { type: 'blob', nullable: true },
  } as const
  const relations = {
    author: { type: 'many-to-one', target: 'Author', inverseSide: 'books', nullable: true },
  } as const
  const dataSource = new DataSource({
    type: 'better-sqlite3',
    database: made!.url,
    synchronize: true,
    entities: [
      new EntitySchema<Book>({
        name: 'Book',
        target: Book,
        columns: { ...book, ...more, kind: { type: 'text', nullable: true } } as never,
        relations: relations as never,
        inheritance: { pattern: 'STI', column: 'kind' },
        discriminatorValue: 'Book',
      }),
      new EntitySchema<Comic>({
        name: 'Comic',
        target: Comic,
        type: 'entity-child',
        discriminatorValue: 'Comic',
        columns: {},
      }),
      new EntitySchema<Author>({
        name: 'Author',
        target: Author,
        columns: { id },
        relations: {
          books: { type: 'one-to-many', target: 'Book', inverseSide: 'author', cascade: true },
        },
      }),
    ],
  })
  const service = memory()
  const storage = createActiveStorage({
    database: typeorm(dataSource),
    services: { memory: service },
    models: { Book: bookAttachments },
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  await dataSource.initialize()
  Book.useDataSource(dataSource)
  await storage.migrate()
  told.length = 0
  t.after(async () => {
    await storage.close()
    await dataSource.destroy()
    await made!.close()
  })
  return {
    dataSource,
    storage: storage as ActiveStorage<{ Book: typeof bookAttachments }, EntityManager>,
    service,
  }
}

test('active records, hook methods and subclasses work; record_type is the base class', async (t) => {
  const { dataSource, storage, service } = await library(t)
  const comic = Comic.create({ title: 'Maus', coverTmp: text('a') })
  assert.ok(
    !Object.keys(comic).some((key) => /cover|pages/.test(key)),
    'entities hold nothing of ours',
  )
  await comic.save()
  assert.equal((await comic.coverDelayedUploads()).length, 1)
  await dataSource.manager.update(Comic, { id: comic.id }, { updatedAt: new Date(0) })
  await storage.drain({ throwOnError: true })
  assert.equal((await storage.record('Book', comic.id).cover.attachment())?.filename, 'Maus-a.txt')
  assert.equal(
    (await (await Comic.findOneByOrFail({ id: comic.id })).cover.attachment())?.filename,
    'Maus-a.txt',
  )
  assert.deepEqual(told, ['Maus: Maus-a.txt', 'Maus: all'])
  assert.ok(
    (await Comic.findOneByOrFail({ id: comic.id })).updatedAt.getTime() > 0,
    'it was touched',
  )
  assert.equal(comic.coverTmp, undefined)
  await comic.cover.attach(text('b'))
  assert.equal((await comic.cover.attachment())?.filename, 'b.txt')
  await comic.remove()
  await storage.drain()
  assert.equal(service.objects.size, 0)
})

test('a class without the hook method of its sibling uses the definition; records are touched', async (t) => {
  const { dataSource, storage } = await library(t)
  const [book, comic] = [
    await Book.create({ title: 'A', pagesTmp: [text('a')] }).save(),
    await Comic.create({ title: 'B', pagesTmp: [text('b')] }).save(),
  ]
  await dataSource.manager.update(Book, { id: book.id }, { updatedAt: new Date(0) })
  await storage.drain({ throwOnError: true })
  const names = await Promise.all(
    [book, comic].map(async ({ pages }) => (await pages.attachments())[0]?.filename),
  )
  assert.deepEqual(names, ['a.txt', 'comic-b.txt'])
  assert.ok((await Book.findOneByOrFail({ id: book.id })).updatedAt.getTime() > 0, 'it was touched')
})

test("TypeORM's own migrations find no change, and keep the library's tables", async (t) => {
  const { dataSource, storage } = await library(t)
  const { upQueries } = await dataSource.driver.createSchemaBuilder().log()
  assert.deepEqual(upQueries, [])
  await dataSource.synchronize()
  await dataSource.destroy()
  await dataSource.initialize()
  await Book.create({ title: 'A', coverTmp: text('a') }).save()
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
})

test('a save attaches the files of cascaded entities, new or unchanged, and of literals', async (t) => {
  const { dataSource, storage } = await library(t)
  const author = dataSource.manager.create(Author, {
    books: [{ title: 'A', coverTmp: text('a') }, { title: 'B' }],
  })
  await dataSource.manager.save(author)
  const [first, second] = author.books as [Book, Book]
  second.pagesTmp = [text('b')]
  await dataSource.manager.save(author)
  await dataSource.manager.save(Book, { title: 'C', pagesTmp: [text('c')] })
  const merged = dataSource.manager.merge(Book, first, { pagesTmp: [text('d')] })
  await merged.save()
  await storage.drain({ throwOnError: true })
  const files = async (id: number) =>
    (await storage.record('Book', id).pages.attachments()).map(({ filename }) => filename)
  assert.equal((await first.cover.attachment())?.filename, 'A-a.txt')
  assert.deepEqual(
    [await files(first.id), await files(second.id), await files(second.id + 1)],
    [['d.txt'], ['b.txt'], ['c.txt']],
  )
})

test('an operation that would lose a file is refused before any write', async (t) => {
  const { dataSource, storage } = await library(t)
  const { manager } = dataSource
  const book = (): Book => manager.create(Book, { title: 'A', coverTmp: text('a') })
  const calls = [
    () => manager.insert(Book, { title: 'A', coverTmp: text('a') } as never),
    () => manager.upsert(Book, book() as never, ['id']),
    () => manager.update(Book, { id: 1 }, { coverTmp: text('a') } as never),
    () => manager.save(book(), { transaction: false }),
    () =>
      manager
        .createQueryBuilder()
        .insert()
        .into(Book)
        .values(book() as never)
        .execute(),
  ]
  for (const call of calls) await assert.rejects(async () => call(), { code: 'CONFIGURATION' })
  assert.equal(await manager.count(Book), 0)
  assert.throws(() => book().cover, { code: 'INVALID_INPUT', message: /not saved yet/ })
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})

test('a record saved again after a rollback attaches its files again, and once', async (t) => {
  const { dataSource, storage } = await library(t)
  const book = Book.create({ title: 'A', pagesTmp: [text('a')] })
  for (let round = 0; round < 2; round += 1)
    await assert.rejects(
      dataSource.transaction(async (manager) => {
        await manager.save(book)
        await manager.save(book)
        throw new Error('deadlock')
      }),
    )
  await dataSource.transaction(async (manager) => {
    await manager.save(Object.assign(book, { id: undefined }))
    await manager.transaction((inner) => inner.save(book))
    await manager.save(book)
  })
  await book.save()
  await storage.drain({ throwOnError: true })
  assert.deepEqual(
    (await book.pages.attachments()).map(({ filename }) => filename),
    ['a.txt'],
  )
})

test('reconcile removes the files of records deleted without hooks', async (t) => {
  const { dataSource, storage, service } = await library(t)
  const [kept, gone] = [
    await Book.create({ title: 'A', coverTmp: text('a') }).save(),
    await Comic.create({ title: 'B', coverTmp: text('b') }).save(),
  ]
  await storage.drain({ throwOnError: true })
  gone.pagesTmp = [text('c')]
  await gone.save()
  await dataSource.manager.delete(Comic, { id: gone.id })
  assert.deepEqual(await storage.reconcile({ olderThan: '0s' }), { removed: 1 })
  await storage.drain()
  assert.equal(service.objects.size, 1)
  assert.equal((await kept.cover.attachment())?.filename, 'A-a.txt')
})

test('a record that is only marked as deleted keeps its files', async (t) => {
  const { storage } = await library(t)
  const book = await Book.create({ title: 'A', coverTmp: text('a') }).save()
  await book.softRemove()
  await storage.drain({ throwOnError: true })
  assert.deepEqual(told, ['A: A-a.txt'], 'its hooks are told')
  assert.deepEqual(await storage.reconcile({ olderThan: '0s' }), { removed: 0 })
  await book.recover()
  assert.equal((await book.cover.attachment())?.filename, 'A-a.txt')
})

test('bytes in a column are not searched for files', async (t) => {
  const { dataSource } = await library(t)
  const scan = Buffer.alloc(4 * 1024 ** 2)
  const before = performance.now()
  const book = dataSource.manager.create(Book, { title: 'A', scan })
  assert.ok(performance.now() - before < 1000)
  assert.equal(book.scan, scan)
})

test('relations reads the attachments of related entities, in either form', async (t) => {
  const { dataSource, storage } = await library(t)
  const author = dataSource.manager.create(Author, { books: [{ title: 'A', coverTmp: text('a') }] })
  await dataSource.manager.save(author)
  await storage.drain({ throwOnError: true })
  const authors = dataSource.getRepository(Author)
  const found = [
    await authors.findOneOrFail({ where: {}, relations: { books: { cover: true } } }),
    await authors.findOneOrFail({ where: {}, relations: ['books.cover'] as never }),
    ...(await authors.find({ relations: { books: { cover: true, author: true } } })),
    (await authors.findAndCount({ relations: { books: { pages: true } } }))[0][0]!,
  ]
  const [plain] = await Book.find({ relations: { cover: false } })
  await storage.record('Book', plain!.id).cover.detach()
  // Read before it was taken away.
  for (const { books } of found)
    assert.equal((await books[0]?.cover.attachment())?.filename, 'A-a.txt')
  assert.equal(await plain?.cover.attachment(), null)
  const { books } = found[0]!
  await books[0]!.reload()
  assert.equal(await books[0]!.cover.attachment(), null)
  await assert.rejects(Book.find({ relations: { covre: true } as never }), /covre/)
})

test('an unbound data source refuses calls that would lose or leave files', async (t) => {
  const { dataSource, service, storage } = await library(t)
  const bound = await Book.create({ title: 'A', coverTmp: text('a') }).save()
  await storage.drain({ throwOnError: true })
  const second = new DataSource(dataSource.options)
  await second.initialize()
  t.after(() => second.destroy())
  class Managing extends EntityManager {}
  const { manager } = second
  const book = (): Book => manager.create(Book, { title: 'B', coverTmp: text('b') })
  const runner = second.createQueryRunner()
  const calls = [
    () => manager.save(book()),
    () => second.getRepository(Book).save({ title: 'B', coverTmp: text('b') }),
    () => runner.manager.save(book()),
    () => new Managing(second).save(book()),
    () => second.transaction((inner) => inner.save(book())),
    () => manager.save(manager.create(Author, { books: [{ title: 'B', pagesTmp: [text('b')] }] })),
    async () => manager.remove(await manager.findOneByOrFail(Book, { id: bound.id })),
    () => manager.find(Book, { relations: { cover: true } as never }),
  ]
  for (const call of calls)
    await assert.rejects(async () => call(), {
      code: 'CONFIGURATION',
      message: /^(Book|Comic) .*typeorm\(dataSource\)/,
    })
  assert.equal(await manager.count(Book), 1)
  assert.equal(service.objects.size, 1)
  await manager.save(Book, { title: 'without files' })
})

test('an unbound data source refuses records that must have files', async (t) => {
  const { dataSource } = await library(t)
  class Member extends withAttachments({ photo: hasOneAttached({ required: true }) }) {
    id!: number
  }
  const id = { type: 'integer', primary: true, generated: 'increment' } as const
  const entities = [new EntitySchema<Member>({ name: 'Member', target: Member, columns: { id } })]
  const second = new DataSource({ ...dataSource.options, entities })
  await second.initialize()
  t.after(() => second.destroy())
  await second.synchronize()
  for (const call of [
    () => second.manager.save(new Member()),
    () => second.manager.insert(Member, {}),
  ])
    await assert.rejects(async () => call(), {
      code: 'CONFIGURATION',
      message: /^Member .*not bound/,
    })
  assert.equal(await second.manager.count(Member), 0)
})

test('a primary key of several columns is refused: its first column may name another record', async (t) => {
  const { dataSource } = await library(t)
  const attachments = { photo: hasOneAttached() }
  class Doc extends withAttachments(attachments) {
    tenant!: number
    no!: number
  }
  const columns = {
    tenant: { type: 'int', primary: true },
    no: { type: 'int', primary: true },
  } as const
  const entities = [new EntitySchema<Doc>({ name: 'Doc', target: Doc, columns })]
  const second = new DataSource({ ...dataSource.options, entities })
  typeorm(second)
  t.after(() => second.destroy())
  await assert.rejects(second.initialize(), {
    code: 'CONFIGURATION',
    message: /^Doc has attachments.*\(tenant, no\)/,
  })
})

test('classes of two tables that share an attachments object are refused: their ids may be equal', async (t) => {
  const { dataSource } = await library(t)
  const attachments = { scan: hasOneAttached() }
  class Media extends withAttachments(attachments) {
    id!: number
  }
  class Picture extends Media {}
  class Video extends Media {}
  const columns = { id: { type: 'integer', primary: true, generated: 'increment' } } as const
  const opened = (...targets: (typeof Media)[]) => {
    const entities = targets.map(
      (target) => new EntitySchema<Media>({ name: target.name, target, columns }),
    )
    const second = new DataSource({ ...dataSource.options, entities })
    typeorm(second)
    t.after(() => second.destroy())
    return second.initialize()
  }
  await assert.rejects(opened(Picture, Video), {
    code: 'CONFIGURATION',
    message: /^Picture .* and Video .* share an attachments object/,
  })
  await opened(Picture, class Film extends withAttachments({ ...attachments }, Media) {})
})

test('a data source bound during its initialization can be initialized again', async (t) => {
  const { dataSource, storage } = await library(t)
  await storage.close()
  const again = new DataSource(dataSource.options)
  await again.initialize()
  const bound = createActiveStorage({
    database: typeorm(again),
    services: { memory: memory() },
    models: { Book: bookAttachments },
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  t.after(() => bound.close())
  await again.destroy()
  await again.initialize()
  t.after(() => again.destroy())
  const book = await again.manager.save(
    again.manager.create(Book, { title: 'A', pagesTmp: [text('a')] }),
  )
  await again.manager.save(Object.assign(book, { title: 'B' }))
  await bound.drain({ throwOnError: true })
  assert.equal((await book.pages.attachments()).length, 1)
  const { id } = book
  await again.manager.remove(book)
  assert.equal((await bound.record('Book', id).pages.attachments()).length, 0)
})

test('reload of an active record clears attachments that were loaded', async (t) => {
  const { storage } = await library(t)
  const { id } = await Book.create({ title: 'A', coverTmp: text('a') }).save()
  await storage.drain({ throwOnError: true })
  const [book] = await Book.find({ relations: { cover: true } as never })
  await storage.record('Book', id).cover.detach()
  assert.equal((await book!.cover.attachment())?.filename, 'A-a.txt')
  await book!.reload()
  assert.equal(await book!.cover.attachment(), null)
})

test('a record that a replica lacks does not count as deleted: the primary is asked', async (t) => {
  const { dataSource, storage } = await library(t)
  await Book.create({ title: 'A', coverTmp: text('a') }).save()
  const asked: unknown[] = []
  const { createQueryRunner } = dataSource
  t.mock.method(
    dataSource,
    'createQueryRunner',
    function (this: DataSource, mode: 'master' | 'slave' = 'master') {
      asked.push(mode)
      return createQueryRunner.call(this, mode)
    },
  )
  await storage.drain({ throwOnError: true })
  assert.deepEqual(await storage.reconcile({ olderThan: '0s' }), { removed: 0 })
  assert.ok(asked.length > 0)
  assert.ok(!asked.includes('slave'))
})
