// Prisma: records that are written with their files.
import assert from 'node:assert/strict'
import { after, describe, test, type TestContext } from 'node:test'
import { PrismaBetterSqlite3 } from '@prisma/adapter-better-sqlite3'
import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { PrismaPg } from '@prisma/adapter-pg'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
} from '../src/index.ts'
import { prisma, withAttachments } from '../src/orm/prisma/index.ts'
import { memory } from '../src/services/memory.ts'
import { databaseContract, ormContract, ormModels, type OrmApp } from '../src/testing/index.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { emptyDatabase, skipping } from './support/empty-database.ts'
import { countFarther, usual, varieties, type Variety } from './support/orm-varieties.ts'
import { generateClient } from './support/prisma.ts'
import { text } from './support/storage.ts'

after(() => closeDatabases())

const providers = { SQLite: 'sqlite', PostgreSQL: 'postgresql', MariaDB: 'mysql' } as const
type Provider = (typeof providers)[keyof typeof providers]
const providerOf = ({ name }: Kind): Provider => providers[name as keyof typeof providers]

/** All three have the same models; of their types, SQLite's stand for all. */
async function clientOf(kind: Kind, url: string, { recordId, connections }: Variety = usual) {
  const provider = providerOf(kind)
  const name = generateClient(provider, recordId)
  const { PrismaClient } = (await import(
    `./.prisma/${name}/client/client.ts`
  )) as typeof import('./.prisma/sqlite/client/client.ts')
  const adapter =
    provider === 'sqlite'
      ? new PrismaBetterSqlite3({ url: `file:${url}` })
      : provider === 'postgresql'
        ? new PrismaPg({ connectionString: url, max: connections })
        : new PrismaMariaDb(url.replace('mysql:', 'mariadb:'))
  return new PrismaClient({ adapter })
}

async function open(kind: Kind, variety: Variety) {
  const made = await emptyDatabase(kind)
  const base = await clientOf(kind, made.url, variety)
  const isUuid = variety.recordId === 'uuid'
  const id = isUuid
    ? 'text primary key'
    : {
        SQLite: 'integer primary key',
        PostgreSQL: 'bigserial primary key',
        MariaDB: 'bigint auto_increment primary key',
      }[kind.name]
  for (const table of ['users', 'members'])
    await base.$executeRawUnsafe(`create table ${table} (id ${id}, name text not null)`)
  await countFarther(kind, made.url, variety)
  const db = base.$extends(withAttachments(ormModels))
  // Typed as SQLite's.
  const idOf = (value: string) =>
    isUuid
      ? (value as unknown as number)
      : kind.name === 'SQLite'
        ? Number(value)
        : (BigInt(value) as unknown as number)
  const tmp = (files: object): object =>
    Object.fromEntries(Object.entries(files).map(([name, input]) => [`${name}Tmp`, input]))
  type Tx = Parameters<Parameters<typeof db.$transaction>[0]>[0]
  const usersOf = (on: Tx, model: 'User' | 'Member') =>
    (model === 'User' ? on.user : on.member) as typeof on.user
  let storage: ActiveStorage<typeof ormModels, Tx> | undefined
  const app: OrmApp<Tx> = {
    database: prisma(db),
    recordId: variety.recordId,
    create: async (model, name, files, tx = db) =>
      String((await usersOf(tx, model).create({ data: { name, ...tmp(files) } })).id),
    build(model, name, files) {
      // Prisma's records are values: what is saved already is not created again.
      let isSaved = false
      return {
        async save(tx = db) {
          if (isSaved) return ''
          isSaved = true
          return String((await usersOf(tx, model).create({ data: { name, ...files } })).id)
        },
      }
    },
    async save(model, recordId, files, tx = db) {
      await usersOf(tx, model).update({ where: { id: idOf(recordId) }, data: tmp(files) })
    },
    async destroy(model, recordId, tx = db) {
      await usersOf(tx, model).delete({ where: { id: idOf(recordId) } })
    },
    bind: (given) => void (storage = given),
    async load(tx) {
      const users = await (tx ?? db).user.findMany({ orderBy: { name: 'asc' } })
      return storage!.records(
        'User',
        users.map(({ id }) => id),
        tx === undefined ? {} : { transaction: tx },
      )
    },
    transaction: (run) => db.$transaction(run),
    nested: (tx, run) => tx.$transaction(run),
    names: async (model) =>
      (await usersOf(db, model).findMany({ orderBy: { id: 'asc' } })).map(({ name }) => name),
    async close() {
      await db.$disconnect()
      await made.close()
    },
  }
  return app
}

for (const kind of kinds)
  describe(`Prisma on ${kind.name}`, () => {
    const orSkip = skipping(kind)
    // Another database would need another client, and say nothing else.
    for (const variety of kind.name === 'PostgreSQL' ? varieties(kind) : [usual])
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
  cover: hasOneAttached<{ title: string }>({
    useFilename: (book, filename) => `${book.title}-${filename}`,
    afterUpload: (book, file) => void told.push(`${book.title}: ${file.filename}`),
  }),
  pages: hasManyAttached({ maxFiles: 3 }),
}

/** Books by authors, on SQLite. */
async function library(t: TestContext) {
  const made = await kinds[0]!.create()
  await made!.database.close()
  const base = await clientOf(kinds[0]!, made!.url)
  for (const columns of [
    'books (id integer primary key, title text not null unique, secret text, updatedAt datetime, authorId integer)',
    'authors (id integer primary key, name text)',
    'members (id integer primary key, name text not null)',
  ])
    await base.$executeRawUnsafe(`create table ${columns}`)
  const db = base.$extends(withAttachments({ Book: bookAttachments, Member: ormModels.Member }))
  const service = memory()
  const storage = createActiveStorage({
    database: prisma(db),
    services: { memory: service },
    models: { Book: bookAttachments, Member: ormModels.Member },
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  await storage.migrate()
  told.length = 0
  t.after(async () => {
    await storage.close()
    await base.$disconnect()
    await made!.close()
  })
  return { base, db, storage, service }
}

test('records have their attachments under select and include; their JSON has only columns', async (t) => {
  const { db, storage } = await library(t)
  const whole = await db.book.create({
    data: { title: 'A', coverTmp: text('a'), author: { create: { name: 'Ada' } } },
  })
  assert.equal((await whole.coverDelayedUploads()).length, 1)
  assert.deepEqual(Object.keys(JSON.parse(JSON.stringify(whole)) as object), [
    'id',
    'title',
    'secret',
    'updatedAt',
    'authorId',
  ])
  const some = await db.book.create({
    data: { title: 'B', coverTmp: text('b') },
    select: { title: true, cover: true },
  })
  assert.deepEqual(JSON.parse(JSON.stringify(some)), { title: 'B' })
  assert.ok(!Object.keys(some).includes('id'), 'what was not selected is not there')
  const without = await db.book.update({
    where: { title: 'B' },
    data: { pagesTmp: [text('p')] },
    omit: { id: true, secret: true },
  })
  assert.deepEqual(Object.keys(JSON.parse(JSON.stringify(without)) as object), [
    'title',
    'updatedAt',
    'authorId',
  ])
  await storage.drain({ throwOnError: true })
  const { books } = await db.author.findFirstOrThrow({ include: { books: true } })
  assert.equal((await books[0]?.cover.attachment())?.filename, 'A-a.txt')
  const found = await db.book.findUniqueOrThrow({
    where: { title: 'B' },
    select: { pages: true, cover: true },
  })
  assert.deepEqual(
    [(await found.pages.attachments())[0]?.filename, (await found.cover.attachment())?.filename],
    ['p.txt', 'B-b.txt'],
  )
})

test('hooks get the record, and attaching a file updates it', async (t) => {
  const { db, storage } = await library(t)
  const { id } = await db.book.create({ data: { title: 'A', coverTmp: text('a') } })
  await db.$executeRawUnsafe("update books set updatedAt = '2001-01-01T00:00:00.000+00:00'")
  await storage.drain({ throwOnError: true })
  assert.deepEqual(told, ['A: A-a.txt'])
  assert.equal(
    (await db.book.findUniqueOrThrow({ where: { id } })).updatedAt?.getFullYear(),
    new Date().getFullYear(),
  )
  await db.book.update({ where: { id }, data: { cover: text('b') } })
  await storage.drain({ throwOnError: true })
  assert.equal(
    (await (await db.book.findUniqueOrThrow({ where: { id } })).cover.attachment())?.filename,
    'A-b.txt',
  )
})

test('an operation that would lose a file is refused before any write, with the call to use', async (t) => {
  const { db, storage } = await library(t)
  const data = { title: 'A', coverTmp: text('a') }
  const books = db.book as unknown as Record<string, (args: object) => Promise<unknown>>
  const calls: [RegExp, () => Promise<unknown>][] = [
    [/Call create\(\)/, () => books['createMany']!({ data: [data] })],
    [/Call create\(\)/, () => books['createManyAndReturn']!({ data: [data] })],
    [/Call update\(\)/, () => books['updateMany']!({ where: {}, data: { pages: [text('a')] } })],
    [/Call update\(\)/, () => books['updateManyAndReturn']!({ data: { coverTmp: null } })],
    [/Call create\(\)/, () => db.member.createMany({ data: [{ name: 'A' }] })],
    [
      /\$transaction\(async/,
      () => db.$transaction([db.author.create({ data: {} }), db.book.create({ data })]),
    ],
    [
      /\$transaction\(async/,
      () =>
        db.$transaction([
          db.author.create({ data: {} }),
          db.book.delete({ where: { title: 'B' } }),
        ]),
    ],
    [/within 'books'/, () => db.author.create({ data: { books: { create: data } } } as never)],
    [
      /within 'books'/,
      () => db.author.create({ data: { books: { create: [{ title: 'B' }, data] } } } as never),
    ],
    [
      /within 'books'/,
      () =>
        db.author.create({
          data: { books: { connectOrCreate: { where: { id: 1 }, create: data } } },
        } as never),
    ],
    [
      /within 'books'/,
      () =>
        db.author.update({
          where: { id: 1 },
          data: { books: { update: { where: { id: 1 }, data } } },
        } as never),
    ],
    [
      /within 'books'/,
      () =>
        db.book.create({
          data: { title: 'B', author: { create: { books: { create: data } } } },
        } as never),
    ],
  ]
  for (const [message, call] of calls)
    await assert.rejects(async () => call(), { code: 'CONFIGURATION', message })
  await assert.rejects(async () => books['create']!({ data: { ...data, kover: text('a') } }), {
    name: 'PrismaClientValidationError',
  })
  assert.deepEqual(
    [
      await db.book.count(),
      await db.author.count(),
      (await storage.delayedUploads.stats()).pending,
    ],
    [0, 0, 0],
  )
  const [, many] = await db.$transaction([
    db.book.create({ data: { title: 'A' } }),
    db.book.findMany(),
  ])
  assert.equal(many.length, 1, 'what brings nothing is a promise of Prisma as ever')
})

test('the same call attaches rolled-back files again, and nothing runs before it is awaited', async (t) => {
  const { db, storage } = await library(t)
  const args = { data: { title: 'A', coverTmp: text('a') } }
  void db.book.create(args)
  for (let round = 0; round < 2; round += 1)
    await assert.rejects(
      db.$transaction(async (tx) => {
        await tx.book.create(args)
        throw new Error('deadlock')
      }),
    )
  const book = await db.$transaction(async (tx) => {
    const made = await tx.book.create(args)
    assert.equal(
      (await made.cover.delayedUploads()).length,
      1,
      'a record is in the transaction that it was loaded in',
    )
    await tx.$transaction((inner) =>
      inner.book.update({ where: { id: made.id }, data: { pagesTmp: [text('p')] } }),
    )
    return made
  })
  await assert.rejects(async () => db.book.create(args), { code: 'P2002' })
  await storage.drain({ throwOnError: true })
  assert.deepEqual(
    [(await book.cover.attachment())?.filename, (await book.pages.attachments()).length],
    ['A-a.txt', 1],
  )
  assert.equal(await db.book.count(), 1)
})

test('upsert attaches the files of the branch it takes', async (t) => {
  const { db, storage } = await library(t)
  const upsert = async () => {
    const args = {
      create: { title: 'A', coverTmp: text('new') },
      update: { secret: 'x', coverTmp: text('old') },
    }
    const { cover } = await db.book.upsert({
      where: { title: 'A' },
      ...args,
      select: { cover: true },
    })
    await storage.drain({ throwOnError: true })
    return (await cover.attachment())?.filename
  }
  assert.deepEqual([await upsert(), await upsert()], ['A-new.txt', 'A-old.txt'])
  const member = { where: { id: 1 }, create: { name: 'A' }, update: { name: 'B' } }
  await assert.rejects(async () => db.member.upsert(member), { code: 'ATTACHMENT_REQUIRED' })
  assert.equal(await db.member.count(), 0)
})

test('on SQLite a call that would wait for its own transaction is refused; a call outside waits', async (t) => {
  const { db, storage } = await library(t)
  const { id } = await db.book.create({ data: { title: 'A' } })
  const outside: Promise<unknown>[] = []
  let begun: () => void = () => undefined
  const inside = new Promise<void>((resolve) => (begun = resolve))
  const other = inside.then(() => storage.record('Book', id).cover.delayedUploads())
  await db.$transaction(async (tx) => {
    await tx.book.update({ where: { id }, data: { coverTmp: text('a') } })
    for (const call of [
      () => storage.record('Book', id).cover.attachLater(text('b')),
      () => db.book.update({ where: { id }, data: { coverTmp: text('b') } }),
      () => db.book.delete({ where: { id } }),
      () => storage.transaction(async () => undefined),
    ])
      await assert.rejects(async () => call(), {
        code: 'CONFIGURATION',
        message: /would wait for the transaction/,
      })
    begun()
    outside.push(other)
    await tx.book.findMany()
  })
  assert.equal(((await outside[0]) as unknown[]).length, 1)
})

test('a value that is no Prisma transaction is refused; a client without the extension works too', async (t) => {
  const { base, db, storage, service } = await library(t)
  const record = (transaction: unknown) =>
    storage.record('Book', 1, { transaction: transaction as never }).cover.attachLater(text('a'))
  const over = await db.$transaction(async (tx) => tx)
  for (const wrong of [db, base, {}, over])
    await assert.rejects(record(wrong), { code: 'CONFIGURATION' })
  for (const wrong of [
    undefined,
    {},
    { $queryRawUnsafe: () => undefined, _activeProvider: 'mongodb' },
  ])
    assert.throws(() => prisma(wrong as never), { code: 'CONFIGURATION' })
  const another = await clientOf(kinds[0]!, ':memory:')
  await another.$transaction((tx) =>
    assert.rejects(record(tx), { code: 'CONFIGURATION', message: /another PrismaClient/ }),
  )
  await another.$disconnect()
  for (const [message, extension] of [
    [/no model 'Nobody'/, withAttachments({ Nobody: bookAttachments })],
    [/no field 'uid'/, withAttachments({ Book: bookAttachments }, { ids: { Book: 'uid' } })],
    [/has a field 'secret'/, withAttachments({ Book: { secret: hasOneAttached() } })],
    [/has a field 'author'/, withAttachments({ Book: { author: hasOneAttached() } })],
  ] as const)
    assert.throws(() => base.$extends(extension as never), { code: 'CONFIGURATION', message })
  const attachments = { photo: hasOneAttached() }
  const plain = createActiveStorage({
    database: prisma(base),
    services: { memory: service },
    models: { Thing: attachments },
    secretKeyBase: 'a secret of the tests',
    logger: false,
  })
  await plain.transaction(async (tx) => {
    const { id } = await tx.author.create({ data: { name: 'A' } })
    await plain.record('Thing', id, { transaction: tx }).photo.attachLater(text('a'))
  })
  await base.$transaction((tx) =>
    plain.record('Thing', 2, { transaction: tx }).photo.attachLater(text('b')),
  )
  assert.equal((await plain.drain({ throwOnError: true })).uploaded, 2)
  await plain.close()
})

test('further extensions keep the files, and methods of the app attach them too', async (t) => {
  const { db, storage } = await library(t)
  const more = db.$extends({
    result: {
      book: { shout: { needs: { title: true }, compute: ({ title }) => title.toUpperCase() } },
    },
    model: {
      book: {
        publish(title: string) {
          return (this as unknown as typeof db.book).create({
            data: { title, coverTmp: text('a') },
          })
        },
      },
    },
  })
  const book = await more.book.publish('a')
  await more.$transaction(async (tx) => assert.equal((await tx.book.findFirstOrThrow()).shout, 'A'))
  await storage.drain({ throwOnError: true })
  assert.equal((await book.cover.attachment())?.filename, 'a-a.txt')
  await more.book.delete({ where: { id: book.id } })
  assert.equal(await storage.record('Book', book.id).cover.attachment(), null)
})

test('values from a request never name a file of the server', async (t) => {
  const { db, storage } = await library(t)
  for (const files of [
    { coverTmp: { path: '/etc/hostname' } },
    { cover: { filepath: '/etc/hostname', originalname: 'a' } },
    { pagesTmp: [{ path: '/etc/hostname' }] },
    { pages: { files: { 0: { path: '/etc/hostname' } } } },
  ]) {
    const data = JSON.parse(JSON.stringify({ title: 'A', ...files })) as { title: string }
    await assert.rejects(db.book.create({ data }), {
      code: 'INVALID_INPUT',
      message: /takes no \{ path \}/,
    })
  }
  assert.equal(await db.book.count(), 0)
  assert.equal((await storage.delayedUploads.stats()).pending, 0)
})
