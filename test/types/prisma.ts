// Never run: what must compile with a generated client of Prisma, and what must not.
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type DelayedUpload,
  type Attachment,
} from '../../src/index.ts'
import type { ManyAttached, OneAttached } from '../../src/index.ts'
import { prisma, withAttachments, type PrismaLike } from '../../src/orm/prisma/index.ts'
import { disk } from '../../src/services/disk.ts'
import type { Prisma, PrismaClient } from '../.prisma/sqlite/client/client.ts'

declare const base: PrismaClient
declare const file: File
declare const buffer: Buffer
declare function expectType<T>(value: T): void
type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

const bookAttachments = { cover: hasOneAttached(), pages: hasManyAttached() }
const db = base.$extends(withAttachments({ Book: bookAttachments }))
const storage = createActiveStorage({
  database: prisma(db),
  services: { local: disk({ root: 'storage' }) },
  models: { Book: bookAttachments },
})

// Files beside the model's own fields, and records that have them.
const book = await db.book.create({
  data: { title: 'A', coverTmp: file, pages: [file, { io: buffer, filename: 'b.txt' }] },
})
expectType<string>(book.title)
expectType<Equal<typeof book.cover, OneAttached>>(true)
expectType<Equal<typeof book.pages, ManyAttached>>(true)
expectType<Promise<DelayedUpload[]>>(book.coverDelayedUploads())
await db.book.create({ data: { title: 'A' } })
await db.book.create({
  data: { title: 'A', cover: null, pagesTmp: undefined, author: { create: { name: 'Ada' } } },
})
await db.book.update({
  where: { id: 1 },
  data: { coverTmp: file, pagesTmp: { deletedIds: [1], files: [file] } },
})
await db.book.upsert({
  where: { title: 'A' },
  create: { title: 'A', coverTmp: file },
  update: { cover: file },
})

// The input of a create is typed elsewhere in an app.
declare const input: Prisma.BookCreateInput
declare const args: Prisma.BookCreateArgs
await db.book.create({ data: input })
await db.book.create({ data: { ...input, coverTmp: file } })
await db.book.create(args)

// select and include, with and without.
const selected = await db.book.create({
  data: { title: 'A', coverTmp: file },
  select: { title: true, cover: true },
})
expectType<Equal<keyof typeof selected, 'title' | 'cover'>>(true)
const included = await db.book.update({
  where: { id: 1 },
  data: { coverTmp: file },
  include: { author: true },
})
expectType<string | null | undefined>(included.author?.name)
expectType<Equal<typeof included.cover, OneAttached>>(true)
const author = await db.author.findFirstOrThrow({ include: { books: true } })
expectType<OneAttached | undefined>(author.books[0]?.cover)
const found = await db.book.findMany({ select: { pages: true } })
expectType<ManyAttached | undefined>(found[0]?.pages)

// Transactions.
const made = await db.$transaction(async (tx) => {
  const inner = await tx.book.create({ data: { title: 'A', coverTmp: file } })
  await inner.cover.attach(file)
  await tx.$transaction((nested) =>
    nested.book.update({ where: { id: 1 }, data: { coverTmp: file } }),
  )
  await storage.record('Book', 1, { transaction: tx }).cover.attachLater(file)
  return inner
})
expectType<Equal<typeof made.cover, OneAttached>>(true)
await storage.transaction(async (tx) => {
  await tx.book.create({ data: { title: 'A', coverTmp: file } })
})
const [one, many] = await db.$transaction([
  db.book.create({ data: { title: 'A' } }),
  db.author.findMany(),
])
expectType<number>(one.id)
expectType<number>(many.length)

// Reads keep Prisma's own types.
type Listed = Awaited<ReturnType<typeof db.book.findMany>>[number]
expectType<string>(({} as Listed).title)
expectType<Promise<Attachment | null>>(({} as Listed).cover.attachment())
const [sorted] = await db.book.findMany({ orderBy: { id: 'desc' }, include: { author: true } })
expectType<string | null | undefined>(sorted?.author?.name)
const [picked] = await db.book.findMany({
  orderBy: [{ id: 'desc' }],
  distinct: ['title'],
  select: { title: true },
  take: 3,
})
expectType<string | undefined>(picked?.title)
// @ts-expect-error not selected
void picked?.id
const [related] = await db.book.findMany({
  orderBy: { id: 'desc' },
  where: { title: { contains: 'x' }, OR: [{ id: 1 }] },
  include: { author: true },
})
expectType<string | null | undefined>(related?.author?.name)
await db.$transaction(async (tx) => {
  const [inside] = await tx.book.findMany({
    orderBy: { id: 'desc' },
    distinct: 'title',
    include: { author: true },
  })
  expectType<string | null | undefined>(inside?.author?.name)
})
// @ts-expect-error no such order
await db.book.findMany({ orderBy: { id: 'down' } })
const shown = await db.book.create({
  data: { title: 'A', coverTmp: file, author: { create: { name: 'B' } } },
  include: { author: true },
})
expectType<string | null | undefined>(shown.author?.name)
const brief = await db.book.update({
  where: { id: 1 },
  data: { coverTmp: file },
  select: { title: true },
})
expectType<string>(brief.title)
// @ts-expect-error not selected
void brief.id

// Extended further; and without the extension.
const more = db.$extends({
  result: {
    book: { shout: { needs: { title: true }, compute: ({ title }) => title.toUpperCase() } },
  },
})
expectType<string>((await more.book.create({ data: { title: 'A', coverTmp: file } })).shout)
expectType<PrismaLike>(base)
expectType<PrismaLike>(db)
prisma(more)
createActiveStorage({
  database: prisma(base),
  services: { local: disk({ root: 'storage' }) },
  models: { Book: bookAttachments },
})

// @ts-expect-error no such field
await db.book.create({ data: { title: 'A', covertmp: file } })
// @ts-expect-error one file, not many
await db.book.create({ data: { title: 'A', coverTmp: [file] } })
// @ts-expect-error the title is missing
await db.book.create({ data: { coverTmp: file } })
// @ts-expect-error what writes many brings none
await db.book.createMany({ data: [{ title: 'A', coverTmp: file }] })
// @ts-expect-error nor does a write within another
await db.author.create({ data: { name: 'A', books: { create: { title: 'A', coverTmp: file } } } })
// @ts-expect-error of no model with attachments
await db.author.create({ data: { name: 'A', coverTmp: file } })
// @ts-expect-error not selected
void (await db.book.findFirstOrThrow({ select: { title: true } })).cover
// @ts-expect-error the client itself is no transaction
storage.record('Book', 1, { transaction: 1 })
