// A direct attach in a transaction: its upload after the commit, its waits and its errors.
import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { DataSource, EntitySchema } from 'typeorm'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import { typeorm, withAttachments } from '../src/orm/typeorm/index.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { fresh, switchable, text } from './support/storage.ts'

after(() => closeDatabases())

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
type App = NonNullable<Awaited<ReturnType<typeof fresh<typeof models>>>>

/** `attach` in a transaction; whoever waits does it afterwards. */
const attachWithin = ({ storage }: Pick<App, 'storage'>, name: 'photo' | 'docs', file: File) =>
  storage.transaction(
    async (tx) => void (await storage.record('User', 1, { transaction: tx })[name].attach(file)),
  )

/** Holds every upload; resolves `begun` with the first. */
function held({ service }: App): { begun: Promise<void>; release: () => void } {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>()
  const { promise: begun, resolve } = Promise.withResolvers<void>()
  const { upload } = service
  service.gate = gate
  service.upload = (...given) => {
    resolve()
    return upload(...given)
  }
  return { begun, release }
}

for (const kind of kinds) {
  test(`${kind.name}: a direct attach waits for a worker, also in another process, that uploads it`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const { begun, release } = held(app)
    const { photo } = app.storage.record('User', 1)
    await photo.attachLater(text('ada'))
    const worker = app.another().work()
    await begun
    const attached = photo.whenAttached()
    await assert.rejects(photo.whenAttached({ timeout: '50ms' }), {
      code: 'ATTACH_PENDING',
      retryable: false,
    })
    release()
    await attached
    assert.equal((await photo.attachment())?.filename, 'ada.txt')
    assert.equal(app.service.uploads, 1)
    await worker.stop()
  })

  test(`${kind.name}: older uploads of the lane run first, also without a worker`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const user = app.storage.record('User', 1)
    for (const name of ['photo', 'docs'] as const) {
      await user[name].attachLater(text('older'))
      await attachWithin(app, name, text('newer'))
    }
    await user.whenAttached()
    assert.equal((await user.photo.attachment())?.filename, 'newer.txt')
    assert.deepEqual(
      (await user.docs.attachments()).map(({ filename }) => filename),
      ['older.txt', 'newer.txt'],
    )
  })
}

const sqliteKind = kinds.find(({ name }) => name === 'SQLite')!

test('a temporary error is reported and the upload continues later; a final error says so', async (t) => {
  const app = await fresh(t, sqliteKind, models, {
    retries: { attempts: 3, minDelay: '1h', maxDelay: '1h' },
  })
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  app.service.failures = 1
  await attachWithin(app, 'photo', text('ada'))
  const pending = {
    code: 'ATTACH_PENDING',
    details: { record: { type: 'User', id: '1' }, attachment: 'photo', filename: 'ada.txt' },
  }
  await assert.rejects(photo.whenAttached(), {
    ...pending,
    message: /ada\.txt is not attached yet: its upload goes on in the background/,
  })
  assert.equal((await photo.delayedUploads())[0]?.state, 'pending')
  // A later wait gets the same error, without another attempt.
  await assert.rejects(photo.whenAttached(), pending)
  assert.equal(app.service.uploads, 1)
  Object.assign(app.service, { failures: 1, final: true })
  await (await photo.delayedUploads())[0]?.retry()
  await assert.rejects(photo.whenAttached(), {
    ...pending,
    message: /ada\.txt could not be attached: its upload failed and is kept/,
  })
})

test('close() finishes uploads that began after a commit, and leaves the others to workers', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { begun, release } = held(app)
  await attachWithin(app, 'photo', text('ada'))
  await begun
  const other = app.another()
  const closed = app.storage.close()
  release()
  await closed
  assert.equal((await other.record('User', 1).photo.attachment())?.filename, 'ada.txt')
})

test('whenAttached does not wait longer when the storage is closing', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { begun, release } = held(app)
  await app.storage.record('User', 2).photo.attachLater(text('bob'))
  await attachWithin(app, 'photo', text('ada'))
  await begun
  const closed = app.storage.close()
  await assert.rejects(app.storage.record('User', 2).photo.whenAttached(), {
    code: 'ATTACH_PENDING',
  })
  release()
  await closed
})

test('a signal ends one wait, and neither the upload nor the wait of another', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { begun, release } = held(app)
  const { photo } = app.storage.record('User', 1)
  await photo.attachLater(text('ada'))
  const other = photo.whenAttached()
  await begun
  const aborting = new AbortController()
  const ended = photo.whenAttached({ signal: aborting.signal })
  setTimeout(() => aborting.abort(new Error('The visitor left.')), 20)
  await assert.rejects(ended, /The visitor left/)
  release()
  await other
  assert.equal((await photo.attachment())?.filename, 'ada.txt')
})

test('hooks of as many uploads as run at once can save other records directly', async (t) => {
  const ids = [1, 2, 3, 4, 5, 6, 7, 8]
  const allInHooks = Promise.withResolvers<void>()
  let inHooks = 0
  const app = await fresh(t, sqliteKind, {
    User: {
      photo: hasOneAttached({
        async afterUpload({ id }: { id: number }) {
          if ((inHooks += 1) === ids.length) allInHooks.resolve()
          await allInHooks.promise
          await attachImage(id)
        },
      }),
    },
    Thumbnail: { image: hasOneAttached() },
  })
  if (app === null) return
  const { storage } = app
  const saved: number[] = []
  const attachImage = async (id: number): Promise<void> => {
    await storage.transaction(async (tx) => {
      await storage.record('Thumbnail', id, { transaction: tx }).image.attach(text('small'))
    })
    await storage.record('Thumbnail', id).image.whenAttached({ timeout: '3s' })
    saved.push(Number(id))
  }
  for (const id of ids) await storage.record('User', id).photo.attachLater(text('ada'))
  await Promise.all(ids.map((id) => storage.record('User', id).photo.whenAttached()))
  assert.deepEqual(saved.toSorted(), ids)
})

test('hooks of as many uploads as run at once can wait for uploads that began before', async (t) => {
  const ids = [1, 2, 3, 4, 5, 6, 7, 8]
  const allInHooks = Promise.withResolvers<void>()
  const docsBegun = Promise.withResolvers<void>()
  // One hook waits after the other, so that the later ones join uploads that queue for a permit.
  let turn = docsBegun.promise
  let inHooks = 0
  const app = await fresh(t, sqliteKind, {
    User: {
      photo: hasOneAttached({
        async afterUpload({ id }: { id: number }) {
          const waited = turn.then(() => waitForDocs(id))
          turn = waited
          if ((inHooks += 1) === ids.length) allInHooks.resolve()
          await waited
        },
      }),
      docs: hasManyAttached(),
    },
  })
  if (app === null) return
  const { storage } = app
  const waitedFor: number[] = []
  const waitForDocs = async (id: number): Promise<void> => {
    await storage.record('User', id).docs.whenAttached({ timeout: '10s' })
    waitedFor.push(Number(id))
  }
  const attachAll = async (name: 'photo' | 'docs'): Promise<void> => {
    for (const id of ids)
      await storage.transaction(async (tx) => {
        await storage.record('User', id, { transaction: tx })[name].attach(text('ada'))
      })
  }
  await attachAll('photo')
  await allInHooks.promise
  await attachAll('docs')
  docsBegun.resolve()
  await turn
  assert.deepEqual(waitedFor.toSorted(), ids)
  // The permits are free again.
  await attachAll('docs')
  for (const id of ids) {
    const { docs } = storage.record('User', id)
    await docs.whenAttached({ timeout: '10s' })
    assert.equal((await docs.attachments()).length, 2)
  }
})

/** Entities of TypeORM, which saves in a transaction of the binding's own. */
async function entities(
  t: TestContext,
  direct: { timeout?: '50ms'; onFailure?: 'throw' | 'background' },
) {
  const made = await sqliteKind.create()
  await made!.database.close()
  const attachments = { photo: hasOneAttached() }
  class User extends withAttachments(attachments) {
    declare id: number
    declare name: string
  }
  const schema = new EntitySchema<User>({
    name: 'User',
    target: User,
    columns: { id: { type: 'integer', primary: true, generated: true }, name: { type: 'text' } },
  })
  const dataSource = new DataSource({
    type: 'better-sqlite3',
    database: made!.url,
    entities: [schema],
    synchronize: true,
  })
  const service = switchable()
  const logged: string[] = []
  const storage = createActiveStorage({
    database: typeorm(dataSource),
    services: { test: service },
    models: { User: attachments },
    secretKeyBase: 'a secret of the tests',
    direct,
    logger: { debug() {}, info() {}, warn: (message) => void logged.push(message), error() {} },
  })
  await dataSource.initialize()
  await storage.migrate()
  t.after(async () => {
    await storage.close()
    await dataSource.destroy()
    await made!.close()
  })
  const { manager } = dataSource
  return {
    manager,
    storage,
    service,
    logged,
    user: () => manager.create(User, { name: 'Ada', photo: text('ada') } as never) as User,
  }
}

test("direct: { onFailure: 'background' } resolves a save when the service fails, and logs it", async (t) => {
  const { manager, service, logged, user } = await entities(t, { onFailure: 'background' })
  service.failures = 1
  const saved = await manager.save(user())
  assert.equal(await saved.photo.attachment(), null)
  assert.ok(logged.some((message) => /ada\.txt is not attached yet/.test(message)))
})

test('direct: { timeout } limits the wait of a save; its upload continues and is attached once', async (t) => {
  const { manager, service, user } = await entities(t, { timeout: '50ms' })
  const { promise, resolve } = Promise.withResolvers<void>()
  service.gate = promise
  const ada = user()
  await assert.rejects(manager.save(ada), { code: 'ATTACH_PENDING' })
  resolve()
  await ada.photo.whenAttached({ timeout: '20s' })
  await manager.save(ada)
  assert.equal((await ada.photo.attachment())?.filename, 'ada.txt')
  assert.equal(service.uploads, 1)
})

test('wrong options of direct are refused at start-up', () => {
  const make = (direct: object) => () =>
    createActiveStorage({
      database: sqliteLike(),
      services: { test: switchable() },
      models,
      direct,
    } as never)
  assert.throws(make({ onFailure: 'ignore' }), {
    code: 'CONFIGURATION',
    message: /direct\.onFailure is 'ignore'/,
  })
  assert.throws(make({ timeout: 30 }), { code: 'CONFIGURATION', message: /direct\.timeout/ })
})
const sqliteLike = () => ({ open: () => Promise.resolve('sqlite') })
