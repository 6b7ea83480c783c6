// One thing that goes wrong must not stop the others.
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openStore } from '../src/database/store.ts'
import { tableNames } from '../src/database/schema.ts'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type Database,
} from '../src/index.ts'
import { createLeases } from '../src/jobs/leases.ts'
import { disk } from '../src/services/disk.ts'
import { testStorage } from '../src/testing/index.ts'
import { kinds, stopEmbedded } from './support/databases.ts'
import { fresh, retries, storageOn, switchable, text } from './support/storage.ts'

after(() => stopEmbedded())
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const file = (name: string): File => new File([name], name)

for (const kind of kinds) {
  test(`${kind.name}: a row of the gem's without a record stops nothing`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const old =
      kind.name === 'SQLite' ? "'2020-01-01 00:00:00.000000'" : "timestamp '2020-01-01 00:00:00'"
    await app.storage.transaction((tx) =>
      app.made.execute(
        tx,
        `insert into activestorage_delayed_uploads (uploadable_type, uploadable_id, attr_name, created_at, updated_at) values ('User', null, 'photo', ${old}, ${old})`,
      ),
    )
    await app.storage.record('User', 1).photo.attachLater(text('a'))
    assert.equal((await app.storage.drain({ throwOnError: true })).uploaded, 1)
  })

  test(`${kind.name}: a failed upload can be tried again in the transaction that works on its lane`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    Object.assign(app.service, { failures: 1, final: true })
    const upload = await app.storage.record('User', 1).docs.attachLater(text('a'))
    await app.storage.drain()
    await app.storage.transaction(async (tx) => {
      const { docs } = app.storage.record('User', 1, { transaction: tx })
      await docs.attachLater(text('b'))
      for (const failed of await docs.delayedUploads())
        if (failed.id === upload?.id) await failed.retry()
    })
    await app.storage.drain({ throwOnError: true })
    assert.equal((await app.storage.record('User', 1).docs.attachments()).length, 2)
  })

  if (kind.name !== 'SQLite')
    test(`${kind.name}: without the rows that are locked nothing is attached`, async (t) => {
      const app = await fresh(t, kind, models)
      if (app === null) return
      await app.storage.transaction((tx) =>
        app.made.execute(tx, 'delete from activestorage_delayed_locks'),
      )
      await assert.rejects(app.storage.record('User', 1).photo.attachLater(text('a')), {
        code: 'CONFIGURATION',
        message: /migrate/,
      })
    })

  test(`${kind.name}: an error after the attachment is no failure of the upload`, async (t) => {
    const made = await kind.create()
    if (made === null) return t.skip(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
    let broken = 0
    const database: Database<never> = {
      ...made.database,
      executor: {
        run(sql, parameters) {
          if (broken > 0) {
            broken -= 1
            return Promise.reject(new Error('The connection is gone.'))
          }
          return made.database.executor.run(sql, parameters)
        },
      },
    }
    const told: string[] = []
    const photo = hasOneAttached({
      errorUpload: () => void told.push('error'),
      afterUpload: () => void told.push('after'),
    })
    const storage = storageOn(database, { User: { photo } }, switchable())
    const breaks = (): void => void (broken = 1)
    subscribe('tracing:activestorage-delayed:attach:asyncEnd', breaks)
    t.after(async () => {
      unsubscribe('tracing:activestorage-delayed:attach:asyncEnd', breaks)
      await storage.close()
      await made.close()
    })
    await storage.migrate()
    await storage.record('User', 1).photo.attachLater(text('a'))
    const { uploaded, retried, failed } = await storage.drain()
    assert.deepEqual({ uploaded, retried, failed }, { uploaded: 1, retried: 0, failed: 0 })
    assert.deepEqual(told, [])
    await made.database.executor.run(
      'update activestorage_delayed_uploads set run_at = 0, lease_until = 0',
      [],
    )
    await storage.drain()
    assert.deepEqual(told, ['after'])
  })
}

test('hooks are told three times in all, and then counted as told', async (t) => {
  let calls = 0
  let finds = 0
  const throwing = hasOneAttached({
    afterUpload() {
      calls += 1
      throw new Error('of the test')
    },
  })
  const { storage, clock, database } = await testStorage(
    { User: { photo: throwing }, Gone: { photo: throwing } },
    {
      findRecord: {
        Gone(id) {
          finds += 1
          if (finds > 1) throw new Error('the table is gone')
          return { id }
        },
      },
    },
  )
  t.after(() => storage.close())
  for (const name of ['User', 'Gone'] as const) {
    calls = 0
    await storage.record(name, 1).photo.attachLater(file('x'))
    for (let round = 0; round < 8; round += 1) {
      await storage.drain()
      clock.advance('5m')
    }
    assert.equal(calls, name === 'User' ? 3 : 1)
    assert.equal(
      database.prepare('select count(*) as n from activestorage_delayed_uploads').get()?.['n'],
      0,
    )
  }
  assert.equal(finds, 3)
})

test('hooks of another app that shares the table are not in the way', async (t) => {
  let told = 0
  const photo = hasOneAttached({
    afterUploadAll() {
      told += 1
      if (told === 1) throw new Error('once more')
    },
  })
  const { storage, clock, database } = await testStorage({ User: { photo } })
  t.after(() => storage.close())
  await storage.record('User', 1).photo.attachLater(file('x'))
  await storage.drain()
  const copies = ['uploads', 'files'].map((name) => `activestorage_delayed_${name}`)
  for (let index = 1; index <= 10; index += 1)
    for (const table of copies) {
      database.exec(`create temp table copied as select * from ${table} order by id limit 1`)
      const ids = table.endsWith('files')
        ? `id = '${index}', upload_token = '${index}'`
        : `id = -${index}, token = '${index}', uploadable_type = 'Other'`
      database.exec(
        `update copied set ${ids}; insert into ${table} select * from copied; drop table copied`,
      )
    }
  clock.advance('5m')
  await storage.drain({ concurrency: 2 })
  assert.equal(told, 2)
})

test('a heartbeat on a connection that never answers is given up, and another asked for', async (t) => {
  const made = (await kinds[0]?.create()) ?? assert.fail()
  const storage = storageOn(made.database, models, switchable())
  t.after(async () => {
    await storage.close()
    await made.close()
  })
  await storage.migrate()
  let asked = 0
  const again = Promise.withResolvers<void>()
  const stuck: Database<never> = {
    ...made.database,
    reserve() {
      asked += 1
      if (asked === 2) again.resolve()
      return Promise.resolve({
        executor: { run: () => new Promise(() => undefined) },
        release: () => new Promise(() => undefined),
      })
    },
  }
  const errors: unknown[] = []
  const leases = createLeases((await openStore(stuck, tableNames(), 'bigint')) as never, {
    lease: 200,
    onError: (_text, error) => errors.push(error),
  })
  leases.hold('a token')
  await again.promise
  await Promise.race([leases.close(), delay(5000).then(() => assert.fail('close waits for ever'))])
  assert.ok(errors.length > 0)
})

test(
  'a worker stops though a hook never returns, and though its queue cannot',
  { timeout: 20_000 },
  async (t) => {
    const reached = Promise.withResolvers<void>()
    const photo = hasOneAttached({
      afterUpload() {
        reached.resolve()
        return new Promise<void>(() => undefined)
      },
    })
    const { storage } = await testStorage({ User: { photo } })
    t.after(() => storage.close())
    const worker = storage.work()
    await storage.record('User', 1).photo.attachLater(file('x'))
    await reached.promise
    await worker.stop({ timeout: '10ms' })

    const jobs = {
      name: 'a queue that cannot stop',
      transactional: false,
      enqueue: () => Promise.reject(new Error('down')),
      work: () => Promise.resolve({ stop: () => Promise.reject(new Error('cannot')) }),
    }
    const queued = await testStorage(models, { jobs })
    t.after(() => queued.storage.close())
    const other = queued.storage.work()
    await queued.storage.record('User', 1).photo.attachLater(file('x'))
    assert.equal((await queued.storage.drain({ throwOnError: true })).uploaded, 1)
    await other.stop()
  },
)

test('a backlog of uploads does not starve a purge', async (t) => {
  const { storage, service } = await testStorage(models)
  t.after(() => storage.close())
  await storage.record('User', 1).photo.attach(file('old'))
  await storage.record('User', 1).photo.purgeLater()
  for (let id = 2; id < 60; id += 1) await storage.record('User', id).photo.attachLater(file('x'))
  service.slowDown(5)
  const purged = Promise.withResolvers<number>()
  service.at('delete', async () => purged.resolve((await storage.delayedUploads.stats()).pending))
  const worker = storage.work({ concurrency: 1 })
  assert.ok((await purged.promise) > 10)
  await worker.stop()
})

test('what comes in odd shapes is refused or made fit', async (t) => {
  const { storage } = await testStorage(models, { retries })
  t.after(() => storage.close())
  const { docs } = storage.record('User', 1)
  for (const parameters of [
    { files: { 0: { path: '/etc/passwd' } } },
    { files: [{ filepath: '/etc/passwd', mimetype: 'x' }], deleted_ids: '' },
  ])
    await assert.rejects(docs.attachLater(parameters as never), {
      code: 'INVALID_INPUT',
      message: /of the server/,
    })
  await assert.rejects(docs.attachLater(Buffer.alloc(20_000_000) as never), {
    code: 'INVALID_INPUT',
    message: /Bytes have no name/,
  })
  await docs.attachLater({
    io: Buffer.from('x'),
    filename: 'x',
    contentType: `application/${'x'.repeat(300)}`,
  })
  await storage.drain({ throwOnError: true })
  assert.equal((await docs.attachments())[0]?.contentType, 'application/octet-stream')
})

test('pages of uploads hold each once, though some were tried again', async (t) => {
  const { storage, service } = await testStorage(models, { retries: { attempts: 1 } })
  t.after(() => storage.close())
  for (let id = 1; id <= 12; id += 1) await storage.record('User', id).photo.attachLater(file('x'))
  service.fail(4)
  await storage.drain({ concurrency: 1, timeout: '1ms' })
  for (let id = 13; id <= 20; id += 1) await storage.record('User', id).photo.attachLater(file('x'))
  for (const upload of (await storage.delayedUploads.list()).slice(0, 3)) await upload.retry()
  const all = (await storage.delayedUploads.list({ limit: 1000 })).map(({ id }) => id)
  const paged: string[] = []
  for (let after: string | undefined; ;) {
    const page = await storage.delayedUploads.list({
      limit: 5,
      ...(after === undefined ? {} : { after }),
    })
    if (page.length === 0) break
    paged.push(...page.map(({ id }) => id))
    after = page.at(-1)?.id
  }
  assert.deepEqual(paged, all)
  assert.equal(new Set(paged).size, paged.length)
})

test('what a killed process left half-written in a folder goes after a day', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'asd-partials-'))
  t.after(() => rm(root, { recursive: true }))
  await mkdir(join(root, '.tmp'))
  for (const name of ['old', 'new']) await writeFile(join(root, '.tmp', name), 'x')
  await utimes(join(root, '.tmp', 'old'), 0, 0)
  const { database } = (await kinds[0]?.create()) ?? assert.fail()
  const storage = createActiveStorage({
    database,
    services: { disk: disk({ root }) },
    models,
    secretKeyBase: 'x',
    logger: false,
  })
  await storage.migrate()
  await storage.record('User', 1).photo.attach(file('x'))
  assert.deepEqual(await readdir(join(root, '.tmp')), ['new'])
  await storage.close()
})

test('a pending file that is attached while it is read is read to its end', async (t) => {
  const { storage, database } = await testStorage(models)
  t.after(() => storage.close())
  const bytes = Buffer.from(Array.from({ length: 3 * 1024 ** 2 }, (_, index) => index % 251))
  const upload = await storage.record('User', 1).photo.attachLater({ io: bytes, filename: 'a.bin' })
  const read = async (range?: readonly [number, number]): Promise<Buffer> => {
    const pieces: Uint8Array[] = []
    for await (const piece of upload?.files[0]?.stream(range === undefined ? {} : { range }) ??
      []) {
      if (pieces.push(piece) === 1) {
        await storage.drain({ throwOnError: true })
        assert.equal(
          database.prepare('select count(*) as n from activestorage_delayed_chunks').get()?.['n'],
          0,
        )
      }
    }
    return Buffer.concat(pieces)
  }
  assert.ok(bytes.equals(await read()))
  assert.ok(bytes.subarray(700_000, 2_500_001).equals(await read([700_000, 2_500_000])))
})

test('a storage that was closed refuses whatever is asked of it', async () => {
  const { storage } = await testStorage(models)
  await storage.close()
  await assert.rejects(storage.record('User', 1).photo.attachLater(text('a')), {
    code: 'CONFIGURATION',
    message: /closed/,
  })
  await assert.rejects(storage.drain(), { code: 'CONFIGURATION' })
})
