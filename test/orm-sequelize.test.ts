// Sequelize: records that are saved with their files.
import assert from 'node:assert/strict'
import { after, describe, test, type TestContext } from 'node:test'
import {
  DataTypes,
  Model,
  Sequelize,
  Transaction,
  ValidationError,
  type CreationOptional,
  type InferAttributes,
  type InferCreationAttributes,
  type Options,
} from 'sequelize'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type AttachmentHooks,
} from '../src/index.ts'
import { sequelize, withAttachments } from '../src/orm/sequelize/index.ts'
import { memory } from '../src/services/memory.ts'
import { databaseContract, ormContract, ormModels, type OrmApp } from '../src/testing/index.ts'
import { accountOf, kinds, closeDatabases, type Kind } from './support/databases.ts'
import { emptyDatabase, skipping } from './support/empty-database.ts'
import { countFarther, usual, varieties, type Variety } from './support/orm-varieties.ts'
import { sqlite3 } from './support/sqlite3.ts'
import { text } from './support/storage.ts'

after(() => closeDatabases())

const idOf = ({ name }: Kind, { recordId }: Variety = usual) =>
  recordId === 'uuid'
    ? { type: DataTypes.UUID, primaryKey: true, defaultValue: DataTypes.UUIDV4 }
    : {
        type: name === 'SQLite' ? DataTypes.INTEGER : DataTypes.BIGINT,
        primaryKey: true,
        autoIncrement: true,
      }

function connect({ name }: Kind, url: string, { connections }: Variety = usual): Sequelize {
  const options: Options = { logging: false, pool: { max: connections } }
  if (name !== 'SQLite') return new Sequelize(url.replace(/^mysql:/, 'mariadb:'), options)
  return new Sequelize({
    ...options,
    dialect: 'sqlite',
    storage: url,
    dialectModule: sqlite3,
    transactionType: Transaction.TYPES.IMMEDIATE,
  })
}

async function open(kind: Kind, variety: Variety): Promise<OrmApp<Transaction>> {
  const made = await emptyDatabase(kind)
  const app = connect(kind, made.url, variety)
  class User extends withAttachments(ormModels.User, Model) {}
  class Member extends withAttachments(ormModels.Member, Model) {}
  for (const [model, tableName] of [
    [User, 'users'],
    [Member, 'members'],
  ] as const)
    model.init(
      { id: idOf(kind, variety), name: DataTypes.TEXT },
      { sequelize: app, tableName, timestamps: false },
    )
  await app.sync()
  await countFarther(kind, made.url, variety)
  const classes = { User, Member } as unknown as Readonly<Record<'Member' | 'User', typeof User>>
  const tmp = (files: object): object =>
    Object.fromEntries(Object.entries(files).map(([name, input]) => [`${name}Tmp`, input]))
  return {
    database: sequelize(app),
    recordId: variety.recordId,
    async create(model, name, files, transaction) {
      const saved = await classes[model].create(
        { name, ...tmp(files) },
        transaction && { transaction },
      )
      return String(saved.get('id'))
    },
    build(model, name, files) {
      const record = classes[model].build({ name, ...files })
      return {
        save: async (transaction) =>
          String((await record.save(transaction && { transaction })).get('id')),
      }
    },
    async save(model, key, files, transaction) {
      const record = await classes[model].findByPk(key, {
        rejectOnEmpty: true,
        ...(transaction && { transaction }),
      })
      await Object.assign(record, tmp(files)).save(transaction && { transaction })
    },
    async destroy(model, key, transaction) {
      const record = await classes[model].findByPk(key, {
        rejectOnEmpty: true,
        ...(transaction && { transaction }),
      })
      await record.destroy(transaction && { transaction })
    },
    load: (transaction) =>
      User.findAll({ include: ['photo'], order: ['name'], ...(transaction && { transaction }) }),
    transaction: (run) => app.transaction(run),
    nested: (transaction, run) => app.transaction({ transaction }, run),
    names: async (model) =>
      (await classes[model].findAll({ order: ['id'] })).map((record) => String(record.get('name'))),
    async close() {
      await app.close()
      await made.close()
    },
  }
}

for (const kind of kinds)
  describe(`Sequelize on ${kind.name}`, () => {
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
  extends withAttachments(bookAttachments, Model)<
    InferAttributes<Book>,
    InferCreationAttributes<Book>
  >
  implements AttachmentHooks<typeof bookAttachments>
{
  declare id: CreationOptional<number>
  declare title: string
  declare updatedAt: CreationOptional<Date>
  declare deletedAt: CreationOptional<Date | null>
  coverFilename(filename: string): string {
    return `${this.title}-${filename}`
  }
  coverAfterUpload(file: { filename: string }): void {
    told.push(`${this.title}: ${file.filename}`)
  }
}
class Author extends Model<InferAttributes<Author>, InferCreationAttributes<Author>> {
  declare id: CreationOptional<number>
}

async function library(t: TestContext, { paranoid = false } = {}) {
  const made = await kinds[0]!.create()
  await made!.database.close()
  const app = connect(kinds[0]!, made!.url)
  const key = { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true }
  Book.init(
    {
      id: key,
      title: { type: DataTypes.TEXT, unique: true },
      updatedAt: DataTypes.DATE,
      ...(paranoid && { deletedAt: DataTypes.DATE }),
    } as never,
    { sequelize: app, tableName: 'books', createdAt: false, paranoid },
  )
  Author.init({ id: key }, { sequelize: app, tableName: 'authors', timestamps: false })
  Author.hasMany(Book, { as: 'books', foreignKey: 'authorId' })
  const service = memory()
  const storage: ActiveStorage<{ Book: typeof bookAttachments }, Transaction> = createActiveStorage(
    {
      database: sequelize(app),
      services: { memory: service },
      models: { Book: bookAttachments },
      secretKeyBase: 'a secret of the tests',
      logger: false,
    },
  )
  await app.sync()
  await storage.migrate()
  told.length = 0
  t.after(async () => {
    await storage.close()
    await app.close()
    await made!.close()
  })
  return { app, storage, service }
}

test('hook methods run in create and update, and add no values of ours', async (t) => {
  const { storage, service } = await library(t)
  const book = await Book.create({ title: 'Maus', coverTmp: text('a') })
  assert.deepEqual(Object.keys(book.toJSON()).toSorted(), ['id', 'title', 'updatedAt'])
  assert.equal((await book.coverDelayedUploads()).length, 1)
  await Book.update({ updatedAt: new Date(0) }, { where: { id: book.id }, silent: true })
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'Maus-a.txt')
  assert.deepEqual(told, ['Maus: Maus-a.txt'])
  assert.ok((await book.reload()).updatedAt.getTime() > 0, 'it was touched')
  await book.update({ title: 'Maus II', pagesTmp: [text('b')] })
  await book.update({ pages: [text('c')] })
  book.set({ coverTmp: text('d') })
  await book.save()
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'Maus II-d.txt')
  assert.deepEqual((await book.pages.attachments()).map(({ filename }) => filename).toSorted(), [
    'b.txt',
    'c.txt',
  ])
  await Book.destroy({ where: { title: 'Maus II' } })
  await storage.drain()
  assert.equal(service.objects.size, 0)
})

test('bulk, find-or-create and association calls attach files', async (t) => {
  const { storage } = await library(t)
  const books = await Book.bulkCreate([
    { title: 'A', coverTmp: text('a') },
    { title: 'B', pages: [text('b')] },
  ])
  const [found, created] = await Book.findOrCreate({
    where: { title: 'C' },
    defaults: { title: 'C', coverTmp: text('c') },
  })
  assert.ok(created)
  const author = await Author.create({ books: [{ title: 'D', coverTmp: text('d') }] } as never, {
    include: 'books',
  })
  const [last] = (author as unknown as { books: Book[] }).books
  await storage.drain({ throwOnError: true })
  const names = await Promise.all(
    [...books, found, last!].map(async (book) => (await book.cover.attachment())?.filename),
  )
  assert.deepEqual(names, ['A-a.txt', undefined, 'C-c.txt', 'D-d.txt'])
  assert.equal((await books[1]!.pages.attachments())[0]?.filename, 'b.txt')
  await assert.rejects(Book.bulkCreate([{ title: 'E', coverTmp: text('e') }, { title: 'A' }]), {
    name: 'SequelizeUniqueConstraintError',
  })
  assert.equal(await Book.count(), 4)
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})

test('an operation that would lose a file is refused before any write', async (t) => {
  const { storage } = await library(t)
  const calls = [
    () => Book.update({ coverTmp: text('a') } as never, { where: {} }),
    () => Book.upsert({ title: 'A', coverTmp: text('a') }),
    () => Book.bulkCreate([{ title: 'A', coverTmp: text('a') }], { updateOnDuplicate: ['title'] }),
    () => Book.bulkCreate([{ title: 'A', coverTmp: text('a') }], { ignoreDuplicates: true }),
  ]
  for (const call of calls) await assert.rejects(async () => call(), { code: 'CONFIGURATION' })
  assert.throws(() => Book.build({ title: 'A' }).cover, {
    code: 'INVALID_INPUT',
    message: /not saved yet/,
  })
  assert.equal(await Book.count(), 0)
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})

test('a file beyond the limits is a validation error of Sequelize', async (t) => {
  const { storage } = await library(t)
  const error = await Book.create({
    title: 'A',
    coverTmp: { io: Buffer.alloc(1025), filename: 'big.txt' },
  }).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof ValidationError)
  assert.equal(error.errors[0]?.path, 'cover')
  // Apps show these messages to visitors.
  for (const { message } of [error, error.errors[0]!])
    assert.equal(message, 'big.txt is larger than 1 KB. Choose a smaller one.')
  assert.equal((error.cause as { code?: string }).code, 'FILE_TOO_LARGE')
  assert.equal(await Book.count(), 0)
  assert.equal((await storage.delayedUploads.stats()).stagedBytes, 0)
})

test('a record whose files were refused is saved again unchanged', async (t) => {
  const { storage } = await library(t)
  const pages = ['a', 'b', 'c', 'd'].map((each) => text(each))
  const book = Book.build({ title: 'A', pagesTmp: pages })
  await assert.rejects(book.save(), ValidationError)
  await Book.create({ title: 'another, with the id that was rolled back' })
  book.pagesTmp = pages.slice(0, 3)
  await book.save()
  book.set({ title: 'B', pagesTmp: [text('d')] })
  await storage.drain({ throwOnError: true })
  await assert.rejects(book.save(), ValidationError)
  book.pagesTmp = null
  await book.save()
  assert.equal((await Book.findByPk(book.id))?.title, 'B')
  assert.equal((await book.pages.attachments()).length, 3)
})

test('a record that is marked as deleted keeps its files', async (t) => {
  const { storage, service } = await library(t, { paranoid: true })
  const book = await Book.create({ title: 'A', coverTmp: text('a') })
  await storage.drain({ throwOnError: true })
  await book.destroy()
  await storage.drain()
  assert.equal(service.objects.size, 1)
  await book.restore()
  await book.destroy({ force: true })
  await storage.drain()
  assert.equal(service.objects.size, 0)
})

test('a record saved again after a rollback attaches its files again, and once', async (t) => {
  const { app, storage } = await library(t)
  const book = Book.build({ title: 'A', pagesTmp: [text('a')] })
  for (let round = 0; round < 2; round += 1) {
    await assert.rejects(
      app.transaction(async (transaction) => {
        await book.save({ transaction })
        await book.save({ transaction })
        throw new Error('deadlock')
      }),
    )
    book.isNewRecord = true
  }
  await app.transaction(async (transaction) => {
    await app.transaction({ transaction }, (inner) => book.save({ transaction: inner }))
    await book.save({ transaction })
  })
  await book.save()
  await storage.drain({ throwOnError: true })
  assert.deepEqual(
    (await book.pages.attachments()).map(({ filename }) => filename),
    ['a.txt'],
  )
})

test('include reads the attachments of included records', async (t) => {
  const { storage } = await library(t)
  await Author.create({ books: [{ title: 'A', coverTmp: text('a') }] } as never, {
    include: 'books',
  })
  await storage.drain({ throwOnError: true })
  type WithBooks = Author & { books: Book[] }
  const found = [
    await Author.findOne({ include: [{ association: 'books', include: ['cover'] }] }),
    (
      await Author.findAll({
        include: { model: Book, as: 'books', include: ['cover', 'pages'] } as never,
      })
    )[0],
  ] as WithBooks[]
  const { rows, count } = await Book.findAndCountAll({ include: ['cover'] })
  assert.equal(count, 1)
  const books = [
    ...found.map((each) => each.books[0]),
    rows[0],
    await Book.scope().findOne({ include: 'cover' }),
  ]
  await storage.record('Book', rows[0]!.id).cover.detach()
  for (const book of books) assert.equal((await book?.cover.attachment())?.filename, 'A-a.txt')
  assert.equal(await (await rows[0]!.reload()).cover.attachment(), null)
  await assert.rejects(Book.findAll({ include: ['covre'] }), /covre/)
})

test("a record refused in the app's own transaction is saved again unchanged", async (t) => {
  const { app, storage } = await library(t)
  const staged = await storage.stage(text('a'), { for: 'Book.cover' })
  await Book.create({ title: 'A', coverTmp: staged })
  const book = Book.build({ title: 'B', coverTmp: staged.signedId })
  await assert.rejects(book.save(), { code: 'STAGED_FILE_ALREADY_USED' })
  await assert.rejects(
    app.transaction((transaction) => book.save({ transaction })),
    { code: 'STAGED_FILE_ALREADY_USED' },
  )
  assert.equal(book.id, null)
  book.coverTmp = text('b')
  await book.save()
  // One that a savepoint forgot, without a file.
  const other = Book.build({ title: 'C' })
  await app.transaction(async (transaction) => {
    const inner = app.transaction({ transaction }, async (savepoint) => {
      await other.save({ transaction: savepoint })
      throw new Error('deadlock')
    })
    await assert.rejects(inner, /deadlock/)
  })
  other.coverTmp = text('c')
  await other.save()
  await storage.drain({ throwOnError: true })
  assert.deepEqual((await Book.findAll({ order: ['id'] })).map(({ title }) => title).toSorted(), [
    'A',
    'B',
    'C',
  ])
  for (const each of [book, other]) assert.ok((await each.cover.attachment()) !== null)
})

test('a rolled-back savepoint in a committed transaction keeps the assigned files', async (t) => {
  const { app, storage } = await library(t)
  const book = await Book.create({ title: 'A' })
  book.coverTmp = text('a')
  await app.transaction(async (transaction) => {
    const inner = app.transaction({ transaction }, async (savepoint) => {
      await app.transaction({ transaction: savepoint }, (innermost) =>
        book.save({ transaction: innermost }),
      )
      throw new Error('deadlock')
    })
    await assert.rejects(inner, /deadlock/)
  })
  assert.ok(book.coverTmp !== undefined)
  await app.transaction((transaction) =>
    app.transaction({ transaction }, (savepoint) => book.save({ transaction: savepoint })),
  )
  assert.equal(book.coverTmp, undefined)
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'A-a.txt')
})

test("a record's own handle uses the transaction it was read or saved in, while that is open", async (t) => {
  const { app, storage } = await library(t)
  const { id } = await Book.create({ title: 'A', coverTmp: text('a') })
  await storage.drain({ throwOnError: true })
  const rolledBack = async (run: (transaction: Transaction) => Promise<Book>): Promise<Book> => {
    let book: Book | undefined
    const all = app.transaction(async (transaction) => {
      book = await run(transaction)
      throw new Error('deadlock')
    })
    await assert.rejects(all, /deadlock/)
    return book!
  }
  const found = await rolledBack(async (transaction) => {
    const book = await app.transaction({ transaction }, (savepoint) =>
      Book.findByPk(id, { transaction: savepoint, rejectOnEmpty: true }),
    )
    await book.cover.detach()
    assert.equal(await book.cover.attachment(), null)
    return book
  })
  assert.equal((await found.cover.attachment())?.filename, 'A-a.txt')
  const made = await rolledBack(async (transaction) => {
    const book = await Book.create({ title: 'B' }, { transaction })
    await book.cover.attach(text('b'))
    return book
  })
  assert.throws(() => made.cover, { code: 'INVALID_INPUT', message: /not saved yet/ })
  await storage.drain({ throwOnError: true })
  assert.equal((await storage.record('Book', id + 1).cover.attachment()) ?? null, null)
})

test('reload() clears assigned files; a record without its key is an error', async (t) => {
  const { storage } = await library(t)
  const book = await Book.create({ title: 'A' })
  book.coverTmp = { io: Buffer.alloc(1025), filename: 'big.txt' }
  await assert.rejects(book.save(), ValidationError)
  await book.reload()
  assert.equal(book.coverTmp, undefined)
  await book.update({ title: 'B' })
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
  await assert.rejects(Book.findAll({ attributes: ['title'], include: ['cover'] }), {
    code: 'CONFIGURATION',
    message: /'id'/,
  })
  const half = await Book.findOne({ attributes: ['title'] })
  assert.throws(() => half?.cover, { code: 'CONFIGURATION', message: /'id'/ })
})

test('on SQLite the binding runs one transaction at a time, and retries only BEGIN', async (t) => {
  const made = await emptyDatabase(kinds[0]!)
  let refusals = 0
  let open = 0
  let most = 0
  class Watched extends sqlite3.Database {
    override all(sql: string, given?: unknown, done?: never): void {
      if (/^(COMMIT|ROLLBACK)/.test(sql)) open -= 1
      if (!sql.startsWith('BEGIN')) return super.all(sql, given, done)
      const told = (done ?? given) as (this: object, error: Error | null) => void
      if (refusals > 0) {
        refusals -= 1
        return void setImmediate(() =>
          told.call(
            {},
            Object.assign(new Error('SQLITE_BUSY: database is locked'), { code: 'SQLITE_BUSY' }),
          ),
        )
      }
      open += 1
      most = Math.max(most, open)
      super.all(sql, given, done)
    }
  }
  const app = new Sequelize({
    dialect: 'sqlite',
    storage: made.url,
    logging: false,
    dialectModule: { ...sqlite3, Database: Watched },
  })
  class User extends withAttachments(ormModels.User, Model) {}
  User.init(
    { id: idOf(kinds[0]!), name: DataTypes.TEXT },
    { sequelize: app, tableName: 'users', timestamps: false },
  )
  await app.sync()
  const services = { memory: memory() }
  const storage = createActiveStorage({
    database: sequelize(app),
    services,
    models: ormModels,
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  t.after(async () => {
    await storage.close()
    await app.close()
    await made.close()
  })
  await storage.migrate()
  // More than Sequelize's own five.
  refusals = 12
  let calls = 0
  await storage.transaction(async () => void (calls += 1))
  assert.deepEqual({ calls, refusals }, { calls: 1, refusals: 0 })
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  await Promise.all(
    names.map((name) => User.create({ name, photoTmp: text(name), certificates: [text(name)] })),
  )
  assert.equal(most, 1)
  assert.equal(await User.count(), names.length)
})

test('the library reads from no replica', async (t) => {
  const kind = kinds.find(({ name }) => name === 'PostgreSQL')!
  const [made, behind] = [await kind.create(), await kind.create()]
  if (made === null || behind === null) return t.skip(kind.why)
  const at = (url: string) => {
    const { user: username, ...rest } = accountOf(url)
    return { ...rest, username }
  }
  const app = new Sequelize('', '', '', {
    dialect: 'postgres',
    logging: false,
    replication: { write: at(made.url), read: [at(behind.url)] },
  })
  class User extends withAttachments(ormModels.User, Model) {}
  User.init(
    { id: idOf(kind), name: DataTypes.TEXT },
    { sequelize: app, tableName: 'users', timestamps: false },
  )
  const storage = createActiveStorage({
    database: sequelize(app),
    services: { memory: memory() },
    models: { User: ormModels.User },
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  t.after(async () => {
    await storage.close()
    await app.close()
    for (const each of [made, behind]) {
      await each.database.close()
      await each.close()
    }
  })
  await app.sync()
  await storage.migrate()
  const user = await User.create({ name: 'Ada', photoTmp: text('a') })
  await storage.drain({ throwOnError: true })
  assert.equal((await user.photo.attachment())?.filename, 'a.txt')
})
