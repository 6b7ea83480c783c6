// Objection: inserted and patched records with their files.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, test, type TestContext } from 'node:test'
import knexInit, { type Knex } from 'knex'
import objectionPackage, { type RelationMappings } from 'objection'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type AttachmentHooks,
} from '../src/index.ts'
import { objection, withAttachments } from '../src/orm/objection/index.ts'
import { memory } from '../src/services/memory.ts'
import { ormContract, ormModels, type OrmApp } from '../src/testing/index.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { emptyDatabase, skipping } from './support/empty-database.ts'
import { countFarther, usual, varieties, type Variety } from './support/orm-varieties.ts'
import { text } from './support/storage.ts'

const { Model, ValidationError } = objectionPackage
after(() => closeDatabases())

const connect = ({ name }: Kind, url: string, { connections }: Variety = usual): Knex =>
  knexInit(
    name === 'SQLite'
      ? { client: 'better-sqlite3', connection: { filename: url }, useNullAsDefault: true }
      : {
          ...(name === 'PostgreSQL'
            ? { client: 'pg', connection: url }
            : { client: 'mysql2', connection: { uri: url, supportBigNumbers: true } as object }),
          pool: { min: 0, max: connections },
        },
  )

class User extends withAttachments(ormModels.User, Model) {
  static override tableName = 'users'
  declare id: string
  declare name: string
}
class Member extends withAttachments(ormModels.Member, Model) {
  static override tableName = 'members'
  declare id: string
  declare name: string
}

async function open(kind: Kind, variety: Variety): Promise<OrmApp<Knex.Transaction>> {
  const made = await emptyDatabase(kind)
  const db = connect(kind, made.url, variety)
  for (const name of ['users', 'members'])
    await db.schema.createTable(name, (table) => {
      if (variety.recordId === 'uuid') table.uuid('id').primary()
      else table.bigIncrements('id')
      table.text('name')
    })
  await countFarther(kind, made.url, variety)
  const id = (): object => (variety.recordId === 'uuid' ? { id: randomUUID() } : {})
  const classes = { User, Member } as unknown as Readonly<Record<'Member' | 'User', typeof User>>
  const tmp = (files: object): object =>
    Object.fromEntries(Object.entries(files).map(([name, input]) => [`${name}Tmp`, input]))
  return {
    database: objection(db, [User, Member]),
    recordId: variety.recordId,
    create: async (model, name, files, trx) =>
      String((await classes[model].query(trx ?? db).insert({ ...id(), name, ...tmp(files) })).id),
    build(model, name, files) {
      const record = classes[model].fromJson({ ...id(), name, ...files })
      let isSaved = false
      return {
        async save(trx) {
          const query = isSaved
            ? record.$query(trx ?? db).patch({ name })
            : classes[model].query(trx ?? db).insert(record)
          isSaved = true
          await query
          return String(record.id)
        },
      }
    },
    save: async (model, id, files, trx) =>
      void (await classes[model]
        .query(trx ?? db)
        .findById(id)
        .patch(tmp(files))),
    async destroy(model, id, trx) {
      const record = await classes[model]
        .query(trx ?? db)
        .findById(id)
        .throwIfNotFound()
      await record.$query(trx ?? db).delete()
    },
    load: async (trx) =>
      User.query(trx ?? db)
        .withGraphFetched('photo')
        .orderBy('name'),
    transaction: (run) => db.transaction(run),
    nested: (trx, run) => trx.transaction(run),
    names: async (model) => (await classes[model].query(db).orderBy('id')).map(({ name }) => name),
    async close() {
      await db.destroy()
      await made.close()
    },
  }
}

for (const kind of kinds)
  describe(`Objection on ${kind.name}`, () => {
    const orSkip = skipping(kind)
    for (const variety of varieties(kind))
      ormContract({
        test: variety.test(orSkip),
        isSqlite: kind.name === 'SQLite',
        open: () => open(kind, variety),
      })
  })

const told: string[] = []
const bookAttachments = { cover: hasOneAttached(), pages: hasManyAttached({ maxFiles: 3 }) }
class Book
  extends withAttachments(bookAttachments, Model)
  implements AttachmentHooks<typeof bookAttachments>
{
  static override tableName = 'books'
  declare id: number
  declare title: string
  declare updatedAt: string
  declare authorId: number
  override async $beforeUpdate(): Promise<void> {
    this.updatedAt = new Date().toISOString()
  }
  coverFilename(filename: string): string {
    return `${this.title}-${filename}`
  }
  coverAfterUpload(file: { filename: string }): void {
    told.push(`${this.title}: ${file.filename}`)
  }
}
const authorAttachments = { portrait: hasOneAttached() }
class Author extends withAttachments(authorAttachments, Model) {
  static override tableName = 'authors'
  declare id: number
  declare books: Book[]
  static override relationMappings: RelationMappings = {
    books: {
      relation: Model.HasManyRelation,
      modelClass: Book,
      join: { from: 'authors.id', to: 'books.authorId' },
    },
  }
}

async function library(t: TestContext) {
  const made = await kinds[0]!.create()
  await made!.database.close()
  const db = connect(kinds[0]!, made!.url)
  Book.knex(db)
  Author.knex(db)
  await db.schema.createTable('authors', (table) => void table.increments('id'))
  await db.schema.createTable('books', (table) => {
    table.increments('id')
    table.text('title').unique()
    table.text('updatedAt')
    table.integer('authorId')
  })
  const service = memory()
  const storage: ActiveStorage<
    { Book: typeof bookAttachments; Author: typeof authorAttachments },
    Knex.Transaction
  > = createActiveStorage({
    database: objection(db, [Book, Author]),
    services: { memory: service },
    models: { Book: bookAttachments, Author: authorAttachments },
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  await storage.migrate()
  told.length = 0
  t.after(async () => {
    await storage.close()
    await db.destroy()
    await made!.close()
  })
  return { db, storage, service }
}

test('inserted, patched and fetched records have files, hooks as methods, and no column of ours', async (t) => {
  const { storage, service } = await library(t)
  const book = await Book.query().insertAndFetch({ title: 'Maus', coverTmp: text('a') })
  assert.deepEqual(Object.keys(book.toJSON()).toSorted(), ['authorId', 'id', 'title', 'updatedAt'])
  assert.equal((await book.coverDelayedUploads()).length, 1)
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'Maus-a.txt')
  assert.deepEqual(told, ['Maus: Maus-a.txt'])
  assert.ok((await book.$query()).updatedAt, 'touched by its own $beforeUpdate')
  assert.equal(await book.$query().patch({ pagesTmp: [text('b')] }), 1)
  const patched = await Book.query().patchAndFetchById(book.id, {
    title: 'Maus II',
    pagesTmp: [text('c')],
  })
  Object.assign(patched, { cover: text('d') })
  await patched.$query().patch(patched)
  await storage.drain({ throwOnError: true })
  assert.equal((await patched.cover.attachment())?.filename, 'Maus II-d.txt')
  assert.deepEqual((await book.pages.attachments()).map(({ filename }) => filename).toSorted(), [
    'b.txt',
    'c.txt',
  ])
  await Book.query().delete().where('title', 'like', 'Maus%')
  await storage.drain()
  assert.equal(service.objects.size, 0)
})

test('graphs attach their files, also those of unchanged records', async (t) => {
  const { storage } = await library(t)
  const author = await Author.query().insertGraph({
    books: [{ title: 'A', coverTmp: text('a') }, { title: 'B' }],
  } as never)
  const [first, second] = author.books as [Book, Book]
  await Author.query().upsertGraph({
    id: author.id,
    books: [
      { id: first.id },
      { id: second.id, coverTmp: text('b') },
      { title: 'C', pagesTmp: [text('c')] },
    ],
  } as never)
  await storage.drain({ throwOnError: true })
  const books = await Book.query().orderBy('id')
  assert.deepEqual(
    await Promise.all(books.map(async (book) => (await book.cover.attachment())?.filename)),
    ['A-a.txt', 'B-b.txt', undefined],
  )
  assert.equal((await books[2]!.pages.attachments())[0]?.filename, 'c.txt')
  await Author.query().upsertGraph({ id: author.id, books: [{ id: first.id }] } as never)
  assert.equal(await storage.record('Book', second.id).cover.attachment(), null)
  await author.portrait.attach(text('author'))
  await Author.relatedQuery('books').for(author.id).delete()
  assert.equal(await storage.record('Book', first.id).cover.attachment(), null)
  assert.equal((await author.portrait.attachment())?.filename, 'author.txt')
})

test('an operation that would lose a file is refused, and nothing is written', async (t) => {
  const { db, storage } = await library(t)
  await Book.query().insert({ title: 'A' })
  await Book.query().insert({ title: 'B' })
  await assert.rejects(async () => Book.query().patch({ title: 'C', coverTmp: text('a') }), {
    code: 'CONFIGURATION',
    message: /one by one/,
  })
  await assert.rejects(
    async () => Book.query().insert({ title: 'A', coverTmp: text('a') }),
    /UNIQUE constraint/,
  )
  await assert.rejects(
    db.transaction(async (trx) => {
      await Book.query(trx).insert({ title: 'D', coverTmp: text('a') })
      throw new Error('the app gave up')
    }),
    /gave up/,
  )
  assert.throws(() => Book.fromJson({ title: 'A' }).cover, {
    code: 'INVALID_INPUT',
    message: /not saved yet/,
  })
  assert.deepEqual(
    (await Book.query().orderBy('id')).map(({ title }) => title),
    ['A', 'B'],
  )
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})

test('a missing record is no error; a cloned query reads and deletes attachments', async (t) => {
  const { storage } = await library(t)
  assert.equal(
    await Book.query()
      .findById(99)
      .patch({ coverTmp: text('a') }),
    0,
  )
  assert.equal(await Book.query().deleteById(99), 0)
  const { id } = await Book.query().insert({ title: 'A', coverTmp: text('a') })
  const query = Book.query().where({ id })
  assert.equal((await query.clone().withGraphFetched('cover'))[0]?.id, id)
  await query.clone().delete()
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})

test('a record inserted again after a rollback attaches its files again, and once', async (t) => {
  const { db, storage } = await library(t)
  const book = Book.fromJson({ id: 7, title: 'A', pagesTmp: [text('a')] })
  for (let round = 0; round < 2; round += 1)
    await assert.rejects(
      db.transaction(async (trx) => {
        await Book.query(trx).insert(book)
        throw new Error('deadlock')
      }),
      /deadlock/,
    )
  await db.transaction(async (trx) => {
    await trx.transaction(async (inner) => void (await Book.query(inner).insert(book)))
    await book.$query(trx).patch(book)
  })
  await book.$query().patch(book)
  await storage.drain({ throwOnError: true })
  assert.deepEqual(
    (await book.pages.attachments()).map(({ filename }) => filename),
    ['a.txt'],
  )
})

test('the next insert attaches files of a rolled-back savepoint, even if its transaction commits', async (t) => {
  const { db, storage } = await library(t)
  const book = Book.fromJson({ id: 7, title: 'A', pagesTmp: [text('a')] })
  await db.transaction(async (trx) => {
    await assert.rejects(
      trx.transaction(async (inner) => {
        await inner.transaction(
          async (innermost) => void (await Book.query(innermost).insert(book)),
        )
        throw new Error('the savepoint')
      }),
      /the savepoint/,
    )
  })
  await Book.query().insert(book)
  await book.$query().patch(book)
  await storage.drain({ throwOnError: true })
  assert.equal((await book.pages.attachments()).length, 1)
})

test('withGraphFetched reads the attachments of related records', async (t) => {
  const { storage } = await library(t)
  await Author.query().insertGraph({ books: [{ title: 'A', coverTmp: text('a') }] } as never)
  await storage.drain({ throwOnError: true })
  type WithBooks = Author & { books: Book[] }
  const [author] = (await Author.query().withGraphFetched('books.cover')) as WithBooks[]
  const page = await Author.query()
    .withGraphFetched({ books: { pages: true } })
    .page(0, 1)
  const [book] = await Book.query().withGraphFetched('[cover, pages]')
  const fetched = await Book.fetchGraph([(await Book.query())[0]!], 'cover')
  const books = [author!.books[0], (page.results[0] as WithBooks).books[0], book, fetched[0]]
  await storage.record('Book', book!.id).cover.detach()
  for (const each of books) assert.equal((await each?.cover.attachment())?.filename, 'A-a.txt')
  await assert.rejects(async () => Book.query().withGraphFetched('covre'), /covre/)
})

test('a value inserted or patched under the name of an attachment is attached', async (t) => {
  const { storage } = await library(t)
  const book = await Book.query().insert({ title: 'A', cover: text('a'), pages: [text('b')] })
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-a.txt')
  assert.equal((await book.pages.attachments())[0]?.filename, 'b.txt')
  assert.equal(
    await Book.query()
      .findById(book.id)
      .patch({ cover: text('c') }),
    1,
  )
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-c.txt')
})

test("a record's own handle uses the last transaction the record was used in, while it is open", async (t) => {
  const { db, storage } = await library(t)
  const { id } = await Book.query().insert({ title: 'A', coverTmp: text('a') })
  await storage.drain({ throwOnError: true })
  const before = await Book.query().findById(id)
  const met: readonly ((trx: Knex.Transaction) => Promise<Book | undefined>)[] = [
    async (trx) => Book.query(trx).findById(id),
    async (trx) => trx.transaction(async (inner) => Book.query(inner).findById(id)),
    async (trx) => Book.query(trx).patchAndFetchById(id, { title: 'A' }),
    async (trx) => {
      await before!.$query(trx).patch({ title: 'A' })
      return before
    },
  ]
  for (const meet of met) {
    let book: Book | undefined
    await assert.rejects(
      db.transaction(async (trx) => {
        book = await meet(trx)
        await book!.cover.purge()
        await book!.pages.attachLater([text('b')])
        throw new Error('the app gave up')
      }),
      /gave up/,
    )
    assert.equal((await book!.cover.attachment())?.filename, 'A-a.txt')
    assert.equal((await book!.pagesDelayedUploads()).length, 0)
  }
})

test('a patch with files clears attachments of the record that were loaded', async (t) => {
  const { storage } = await library(t)
  await Book.query().insert({ title: 'A' })
  const book = await Book.query().findOne({ title: 'A' }).withGraphFetched('cover')
  await book!.$query().patch({ coverTmp: text('a') })
  await storage.drain({ throwOnError: true })
  assert.equal((await book!.cover.attachment())?.filename, 'A-a.txt')
})

test('a file beyond the limits is a ValidationError of the model', async (t) => {
  await library(t)
  await assert.rejects(
    async () =>
      Book.query().insert({ title: 'A', pagesTmp: ['a', 'b', 'c', 'd'].map((each) => text(each)) }),
    (error) => {
      assert.ok(error instanceof ValidationError)
      const [item] = (error.data as { pages: { message: string; keyword: string }[] }).pages
      assert.deepEqual([error.statusCode, item?.keyword], [413, 'TOO_MANY_FILES'])
      assert.equal(item?.message, 'These are 4 files; 3 at most are accepted. Choose fewer.')
      return (error.cause as { code: string }).code === 'TOO_MANY_FILES'
    },
  )
  assert.equal(await Book.query().resultSize(), 0)
})
