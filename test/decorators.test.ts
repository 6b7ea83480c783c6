// Entities with decorators: the ORM's own and ours, on classes of withAttachments(…).
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Database as LucidDatabase } from '@adonisjs/lucid/database'
import { Adapter } from '@adonisjs/lucid/orm'
import type { LucidModel } from '@adonisjs/lucid/types/model'
import { EntitySchema, MikroORM, type Options } from '@mikro-orm/core'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { DataSource, type BaseEntity } from 'typeorm'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type Attachable,
  type OneAttached,
} from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import * as forLucid from '../src/orm/lucid/index.ts'
import * as forMikroOrm from '../src/orm/mikro-orm/index.ts'
import * as forTypeorm from '../src/orm/typeorm/index.ts'
import { memory } from '../src/services/memory.ts'
import { kinds } from './support/databases.ts'
import { compiled } from './support/compiled-decorators.ts'
import { text } from './support/storage.ts'

const [legacy, standard] = [compiled('legacy'), compiled('standard')]
const one = { cover: hasOneAttached() }
const many = { photo: hasOneAttached(), certificates: hasManyAttached() }
const shadow = {
  code: 'CONFIGURATION',
  message: /Shadowed has its own 'photo'.*interface Shadowed extends WithAttachments/,
}

async function file(t: TestContext): Promise<string> {
  const made = await kinds[0]!.create()
  await made!.database.close()
  t.after(() => made!.close())
  return made!.url
}

async function storageOf<M extends object>(t: TestContext, database: unknown, models: M) {
  const service = memory()
  const storage = createActiveStorage({
    database: database as Database<never>,
    services: { memory: service },
    models: models as never,
    secretKeyBase: 'a secret of the tests',
    logger: false,
  }) as unknown as ActiveStorage<
    { User: typeof many; Book: typeof one; Page: { scan: typeof one.cover } },
    never
  >
  await storage.migrate()
  t.after(() => storage.close())
  return { storage, service }
}
type Opened = Awaited<ReturnType<typeof storageOf>>

/** A record of any ORM. */
interface User extends forTypeorm.WithAttachments<typeof many> {
  id: number
  name: string
}
interface Book extends forTypeorm.WithAttachments<typeof one> {
  id: number
  title: string
}
interface Verbs {
  user(
    name: string,
    files: { photoTmp?: Attachable; certificatesTmp?: Attachable[] },
  ): Promise<User>
  book?(title: string, files: { coverTmp?: Attachable }): Promise<Book>
  /** Found anew. */
  findUser(id: number): Promise<User>
  findBook?(id: number): Promise<Book>
  save(record: object): Promise<unknown>
  remove(record: object): Promise<unknown>
}

async function assertSaves(
  { storage, service }: Opened,
  { user, book, findUser, findBook, save, remove }: Verbs,
): Promise<void> {
  await assert.rejects(user('nobody', {}), { code: 'ATTACHMENT_REQUIRED' })
  const ada = await user('Ada', { photoTmp: text('a'), certificatesTmp: [text('b')] })
  assert.ok(
    !Object.keys(ada).some((key) => /photo|certificates/.test(key)),
    'entities hold nothing of ours',
  )
  assert.equal((await ada.photoDelayedUploads()).length, 1)
  await storage.drain({ throwOnError: true })
  const found = await findUser(ada.id)
  assert.equal((await found.photo.attachment())?.filename, 'a.txt')
  assert.equal(
    (await storage.record('User', ada.id).certificates.attachments())[0]?.filename,
    'b.txt',
  )
  found.photoTmp = text('c')
  await save(found)
  await found.certificates.attach(text('d'))
  await storage.drain({ throwOnError: true })
  assert.equal((await ada.photo.attachment())?.filename, 'c.txt')
  if (book !== undefined && findBook !== undefined) {
    const maus = await book('Maus', { coverTmp: text('e') })
    await storage.drain({ throwOnError: true })
    assert.equal((await storage.record('Book', maus.id).cover.attachment())?.filename, 'Maus-e.txt')
    await remove(await findBook(maus.id))
  }
  await remove(found)
  await storage.drain({ throwOnError: true })
  assert.equal(service.objects.size, 0)
}

type Class<T> = new () => T
interface ActiveRecords {
  create(values: object): BaseEntity
  findOneByOrFail(where: object): Promise<never>
}
interface TypeormEntities {
  readonly told: string[]
  readonly User: Class<BaseEntity> & ActiveRecords & typeof BaseEntity
  readonly Book: Class<BaseEntity> & ActiveRecords & typeof BaseEntity
  readonly Comic: Class<BaseEntity> & ActiveRecords
  readonly Page: Class<object>
  readonly Shadowed: Class<object>
  readonly userAttachments: object
  readonly bookAttachments: object
  readonly pageAttachments: object
}

async function typeormStorage(t: TestContext, entities: readonly unknown[], models: object) {
  const source = new DataSource({
    type: 'better-sqlite3',
    database: await file(t),
    synchronize: true,
    entities: entities as never,
  })
  const database = forTypeorm.typeorm(source)
  await source.initialize()
  t.after(() => source.destroy())
  return { source, ...(await storageOf(t, database, models)) }
}
const activeRecords = (user: ActiveRecords, book?: ActiveRecords): Verbs => ({
  user: (name, files) => user.create({ name, ...files }).save() as Promise<never>,
  findUser: (id) => user.findOneByOrFail({ id }),
  ...(book && {
    book: (title, files) => book.create({ title, ...files }).save() as Promise<never>,
    findBook: (id) => book.findOneByOrFail({ id }),
  }),
  save: (record) => (record as BaseEntity).save(),
  remove: (record) => (record as BaseEntity).remove(),
})

test('TypeORM: active records, subclasses in one table, and cascaded saves keep their files', async (t) => {
  const {
    told,
    User,
    Book,
    Comic,
    Page,
    userAttachments,
    bookAttachments,
    pageAttachments,
  }: TypeormEntities = await legacy('typeorm')
  const models = { User: userAttachments, Book: bookAttachments, Page: pageAttachments }
  const opened = await typeormStorage(t, [User, Book, Comic, Page], models)
  const { source, storage, service } = opened
  await assertSaves(opened, activeRecords(User, Comic))
  assert.deepEqual(told, ['Ada: a.txt', 'Ada: c.txt', 'Maus: all'])

  const bob = (await User.create({
    name: 'Bob',
    photoTmp: text('a'),
    books: [{ title: 'B', coverTmp: text('b') }],
  }).save()) as never as {
    books: Book[]
  }
  const page = (await source.manager.save(
    source.manager.create(Page, { number: 1, scanTmp: text('c') } as never),
  )) as { id: number }
  await storage.drain({ throwOnError: true })
  assert.equal((await bob.books[0]!.cover.attachment())?.filename, 'B-b.txt')
  assert.equal((await storage.record('Page', page.id).scan.attachment())?.filename, 'c.txt')
  assert.equal(service.objects.size, 3)
})

test('TypeORM: a field that hides an attachment is refused when the data source is initialized', async (t) => {
  const { Shadowed }: TypeormEntities = await legacy('typeorm')
  await assert.rejects(typeormStorage(t, [Shadowed], {}), shadow)
})

test('TypeORM: a standard decorator works on an entity that a schema defines', async (t) => {
  const {
    User,
    schema,
    userAttachments,
    accessor,
  }: TypeormEntities & { schema: unknown; accessor: () => unknown } = await standard('typeorm')
  await assertSaves(
    await typeormStorage(t, [schema], { User: userAttachments }),
    activeRecords(User),
  )
  assert.throws(accessor, shadow)
})

for (const [form, modules] of [
  ['legacy', legacy],
  ['standard', standard],
] as const) {
  interface Entities {
    readonly User: Class<User>
    readonly Book: Class<Book>
    readonly Comic: Class<Book>
    readonly Shadowed: Class<object>
    readonly userAttachments: object
    readonly bookAttachments: object
    readonly metadataProvider?: unknown
  }
  const connect = async (
    t: TestContext,
    { metadataProvider }: Entities,
    entities: readonly unknown[],
  ): Promise<MikroORM> => {
    const orm = await MikroORM.init({
      driver: SqliteDriver,
      dbName: await file(t),
      entities,
      metadataCache: { enabled: false },
      ...(metadataProvider === undefined ? {} : { metadataProvider }),
    } as unknown as Options)
    t.after(() => orm.close())
    await orm.schema.create()
    return orm
  }

  test(`MikroORM: ${form} decorators work, also for subclasses in one table`, async (t) => {
    const all: Entities = await modules('mikro-orm')
    const { User, Book, Comic, userAttachments, bookAttachments } = all
    const orm = await connect(t, all, [User, Book, Comic])
    const opened = await storageOf(t, forMikroOrm.mikroOrm(orm), {
      User: userAttachments,
      Book: bookAttachments,
    })
    const em = orm.em.fork()
    const flushed = async <T extends object>(type: Class<T>, values: object): Promise<T> => {
      const own = em.fork()
      const record = own.create(type, values as never)
      await own.flush()
      return record as T
    }
    await assertSaves(opened, {
      user: (name, files) => flushed(User, { name, ...files }),
      book: (title, files) => flushed(Comic, { title, ...files }),
      findUser: (id) => em.findOneOrFail(User, { id }),
      findBook: (id) => em.findOneOrFail(Book, { id }),
      save: () => em.flush(),
      remove: (record) => em.remove(record).flush(),
    })
    const bob = await flushed(User, {
      name: 'Bob',
      photoTmp: text('a'),
      books: [{ title: 'B', coverTmp: text('b') }],
    })
    const [book] = (bob as never as { books: { getItems(): Book[] } }).books.getItems()
    await opened.storage.drain({ throwOnError: true })
    assert.equal((await book!.cover.attachment())?.filename, 'B-b.txt')
  })

  test(`MikroORM: a field of a class with ${form} decorators that hides an attachment is refused`, async (t) => {
    const all: Entities = await modules('mikro-orm')
    const orm = await connect(t, all, [all.Shadowed])
    assert.throws(() => forMikroOrm.mikroOrm(orm), shadow)
  })
}

test('Lucid: columns by decorators work, and so does a save method that calls super', async (t) => {
  interface Models {
    readonly User: LucidModel
    readonly Book: LucidModel
    readonly Shadowed: LucidModel
    readonly userAttachments: object
    readonly bookAttachments: object
  }
  const { User, Book, Shadowed, userAttachments, bookAttachments }: Models = await legacy('lucid')
  const connection = {
    client: 'better-sqlite3',
    connection: { filename: await file(t) },
    useNullAsDefault: true,
  }
  const logger = new Proxy({}, { get: () => () => undefined })
  const emitter = { emit: () => undefined, hasListeners: () => false }
  const db = new LucidDatabase(
    { connection: 'main', connections: { main: connection } } as never,
    logger as never,
    emitter as never,
  )
  t.after(() => db.manager.closeAll())
  for (const [model, column] of [
    [User, 'name'],
    [Book, 'title'],
  ] as const) {
    model.$adapter = new Adapter(db)
    await db.connection().schema.createTable(model.table, (table) => {
      table.increments('id')
      table.text(column)
    })
  }
  assert.deepEqual([User.table, Book.table], ['users', 'books'])
  assert.throws(() => forLucid.lucid(db, { models: [Shadowed] }), shadow)
  const opened = await storageOf(t, forLucid.lucid(db, { models: [User, Book] }), {
    User: userAttachments,
    Book: bookAttachments,
  })
  await assertSaves(opened, {
    user: (name, files) => User.create({ name, ...files } as never) as Promise<never>,
    book: (title, files) =>
      Book.create({ title: ` ${title} `, ...files } as never) as Promise<never>,
    findUser: (id) => User.findOrFail(id) as Promise<never>,
    findBook: (id) => Book.findOrFail(id) as Promise<never>,
    save: (record) => (record as { save(): Promise<unknown> }).save(),
    remove: (record) => (record as { delete(): Promise<unknown> }).delete(),
  })
})

test('a subclass that does not name the attachments of its base is refused', () => {
  class Book extends forTypeorm.withAttachments(one) {}
  assert.throws(() => forTypeorm.withAttachments(many, Book), {
    code: 'CONFIGURATION',
    message: /Book has attachments already, and the object given here lacks 'cover'/,
  })
  const Comic = class extends forTypeorm.withAttachments({ ...one, ...many }, Book) {}
  assert.ok('certificatesTmp' in Comic.prototype)
})

test('a class that needs constructor arguments is refused at the first flush, with its field', async (t) => {
  const attachments = { photo: hasOneAttached() }
  class Shadowed extends forMikroOrm.withAttachments(attachments) {
    id!: number
    name: string
    // @ts-expect-error it would hide the attachment
    override photo: OneAttached
    constructor({ name }: { name: string }) {
      super()
      this.name = name
    }
  }
  const schema = new EntitySchema<Pick<Shadowed, 'id' | 'name'>>({
    class: Shadowed as never,
    properties: {
      id: { type: 'integer', primary: true, autoincrement: true },
      name: { type: 'text' },
    },
  })
  const orm = await MikroORM.init({
    driver: SqliteDriver,
    dbName: await file(t),
    entities: [schema],
  } as unknown as Options)
  t.after(() => orm.close())
  await orm.schema.create()
  await storageOf(t, forMikroOrm.mikroOrm(orm), { Shadowed: attachments })
  const em = orm.em.fork()
  em.persist(Object.assign(new Shadowed({ name: 'Ada' }), { photoTmp: text('a') }))
  await assert.rejects(em.flush(), shadow)
  assert.equal(await orm.em.fork().count(Shadowed), 0)
})
