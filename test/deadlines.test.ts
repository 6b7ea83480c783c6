// What time does: back-off, slow clients and slow transfers, leases, and how long things are kept.
import assert from 'node:assert/strict'
import { copyFile } from 'node:fs/promises'
import { after, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openStore } from '../src/database/store.ts'
import { tableNames } from '../src/database/schema.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import { createLeases } from '../src/jobs/leases.ts'
import { testStorage, type TestClock } from '../src/testing/index.ts'
import { atEach, closeServers, databases, type App } from './support/races.ts'
import { retries, text } from './support/storage.ts'

after(closeServers)

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
/** Of the pieces that bytes are staged in. */
const PIECE = 512 * 1024

/** Moves both clocks: the database's, and the one that only runs forwards, by which this process measures. */
function bothClocks(t: TestContext, clock: TestClock): (minutes: number) => void {
  const real = performance.now.bind(performance)
  let ahead = 0
  t.mock.method(performance, 'now', () => real() + ahead)
  return (minutes) => {
    ahead += minutes * MINUTE
    clock.advance(`${minutes}m`)
  }
}

test('retries are put off twice as long each time, up to the longest, and not all alike', async (t) => {
  const { storage, service, clock } = await testStorage(models, {
    retries: { attempts: 6, minDelay: '1m', maxDelay: '4m' },
  })
  t.after(() => storage.close())
  const uploads = 20
  service.fail(Infinity)
  for (let id = 1; id <= uploads; id += 1)
    await storage.record('User', id).photo.attachLater(text('x'))
  for (const minutes of [1, 2, 4, 4, 4]) {
    assert.equal((await storage.drain()).retried, uploads)
    const waits = (await storage.delayedUploads.list()).map(
      ({ runAt }) => (runAt.getTime() - clock.now().getTime()) / MINUTE,
    )
    assert.equal(waits.length, uploads)
    for (const wait of waits)
      assert.ok(
        wait > minutes * 0.7 && wait < minutes * 1.26,
        `${wait} minutes, not about ${minutes}`,
      )
    assert.ok(Math.max(...waits) - Math.min(...waits) > minutes * 0.05, 'all at once')
    clock.advance('6m')
  }
  assert.equal((await storage.drain()).failed, uploads)
})

test('a file is staged however slow its client is while bytes arrive; one that stopped sending is given up', async (t) => {
  const { storage, clock } = await testStorage(models)
  t.after(() => storage.close())
  const pass = bothClocks(t, clock)
  const slowly = async function* (...pauses: number[]): AsyncGenerator<Uint8Array> {
    for (const minutes of pauses) {
      yield new Uint8Array(PIECE)
      pass(minutes)
      await storage.sweep()
    }
  }
  const staged = await storage.stage({ io: slowly(10, 10, 10, 10, 10, 10), filename: 'slow.bin' })
  assert.equal(staged.byteSize, 6 * PIECE)
  await storage.record('User', 1).photo.attachLater(staged)
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
  await assert.rejects(storage.stage({ io: slowly(1, 17), filename: 'stopped.bin' }), {
    code: 'INVALID_INPUT',
    message: /too long/,
  })
  await storage.sweep()
  assert.equal((await storage.delayedUploads.stats()).stagedBytes, 0)
})

for (const how of ['attach', 'attachLater'] as const)
  test(`${how}: a transfer of hours keeps the clean-up of its object off`, async (t) => {
    const { storage, service, clock, database } = await testStorage(models)
    t.after(() => storage.close())
    const pass = bothClocks(t, clock)
    const dueCleanUps = (): unknown =>
      database
        .prepare('select count(*) as n from activestorage_delayed_jobs where run_at <= ?')
        .get(clock.now().getTime())?.['n']
    const due: unknown[] = []
    afterEachPiece(service, () => {
      pass(20)
      due.push(dueCleanUps())
    })
    const { photo } = storage.record('User', 1)
    await photo[how]({ io: Buffer.alloc(12 * PIECE), filename: 'large.bin' })
    if (how === 'attachLater') await storage.drain({ throwOnError: true })
    assert.deepEqual(due, Array<number>(12).fill(0))
    assert.equal(await photo.attached(), true)
  })

test('a transfer whose clean-up has begun ends with an error that says so, before it has sent the rest', async (t) => {
  const { storage, service, clock } = await testStorage(models)
  t.after(() => storage.close())
  const pass = bothClocks(t, clock)
  let sent = 0
  afterEachPiece(service, async () => {
    sent += 1
    if (sent !== 2) return
    pass(61)
    await storage.drain()
  })
  const { photo } = storage.record('User', 1)
  await assert.rejects(photo.attach({ io: Buffer.alloc(12 * PIECE), filename: 'large.bin' }), {
    code: 'SERVICE',
    message: /clean-up/,
  })
  assert.equal(sent, 2)
  assert.equal(await photo.attached(), false)
  assert.equal(service.objects.size, 0)
})

/** Calls `then` whenever a service has taken another piece of an upload. */
function afterEachPiece(
  service: Awaited<ReturnType<typeof testStorage>>['service'],
  then: () => void | Promise<void>,
): void {
  const { upload } = service
  service.upload = (key, body, options) => {
    const watched = async function* (): AsyncGenerator<Uint8Array> {
      let size = 0
      for await (const bytes of body) {
        yield bytes
        size += bytes.length
        if (size % PIECE === 0) await then()
      }
    }
    return upload(key, watched(), options)
  }
}

test('a lease whose renewals are answered too late ends in time, though they succeed', async (t) => {
  const database = sqlite(':memory:')
  const store = await openStore(database, tableNames(), 'bigint')
  let renewals = 0
  const renewed = Promise.withResolvers<'renewed'>()
  const slow = store.over({
    async run(sql) {
      const renewing = sql.startsWith('update')
      if (renewing) renewals += 1
      if (renewals > 12) renewed.resolve('renewed')
      // Longer than what is held back of a lease, and shorter than a beat.
      if (renewing && sql.includes('uploads')) await delay(50)
      return { rows: renewing ? [] : [{ lease_token: 'mine' }], affected: 1 }
    },
  })
  const leases = createLeases(
    {
      ...store,
      database: { ...store.database, reserve: () => Promise.resolve(null) },
      session: slow,
    } as never,
    {
      lease: 360,
      onError: () => undefined,
    },
  )
  t.after(async () => {
    await leases.close()
    await database.close()
  })
  const { signal } = leases.hold('mine')
  const lost = new Promise<'lost'>((resolve) =>
    signal.addEventListener('abort', () => resolve('lost')),
  )
  assert.equal(await Promise.race([lost, renewed.promise]), 'lost')
  assert.match(String(signal.reason), /in time/)
  assert.ok(renewals > 0)
})

test('the lease of a job is renewed like that of an upload', async (t) => {
  const { storage, service, database } = await testStorage(models)
  t.after(() => storage.close())
  await storage.record('User', 1).photo.attach(text('x'))
  const beats: (() => void)[] = []
  t.mock.method(globalThis, 'setInterval', (beat: () => void) => void beats.push(beat))
  const deleting = Promise.withResolvers<AbortSignal | undefined>()
  const deleted = Promise.withResolvers<void>()
  service.delete = (_key, options) => {
    deleting.resolve(options?.signal)
    return deleted.promise
  }
  await storage.record('User', 1).photo.purgeLater()
  const draining = storage.drain({ concurrency: 1 })
  const signal = await deleting.promise
  const leaseOf = (): number =>
    Number(
      database
        .prepare("select lease_until from activestorage_delayed_jobs where state = 'running'")
        .get()?.['lease_until'],
    )
  database.exec("update activestorage_delayed_jobs set lease_until = 1 where state = 'running'")
  for (let turns = 0; leaseOf() === 1 && signal?.aborted === false && turns < 100; turns += 1) {
    for (const beat of beats) beat()
    await delay(5)
  }
  const renewedTo = leaseOf()
  deleted.resolve()
  await draining
  assert.ok(renewedTo > Date.now())
  assert.equal(signal?.aborted, false)
})

test('what answers a second submission is kept as long again from when the file was attached', async (t) => {
  const { storage, clock, database } = await testStorage(models, { staging: { expiresIn: '24h' } })
  t.after(() => storage.close())
  const files = (): unknown =>
    database.prepare('select count(*) as n from activestorage_delayed_files').get()?.['n']
  const staged = await storage.stage(text('x'))
  const { photo } = storage.record('User', 1)
  await photo.attachLater(staged)
  clock.advance('23h')
  await storage.drain({ throwOnError: true })
  clock.advance('20h')
  await storage.sweep()
  assert.equal(files(), 1)
  assert.equal(await photo.attachLater(staged), null)
  await assert.rejects(storage.record('User', 2).photo.attachLater(staged), {
    code: 'STAGED_FILE_ALREADY_USED',
  })
  clock.advance('5h')
  await storage.sweep()
  assert.equal(files(), 0)
})

test('bytes that changed in the database are not transformed and attached', async (t) => {
  const copying = {
    async transform(input: string, output: string) {
      await copyFile(input, output)
      return { contentType: 'image/png', extension: 'png' }
    },
  }
  const transformed = { User: { photo: hasOneAttached({ variantInfo: { resizeToFit: [1, 1] } }) } }
  const { storage, service, database } = await testStorage(transformed, {
    images: copying as never,
    retries: { attempts: 1 },
  })
  t.after(() => storage.close())
  await storage.record('User', 1).photo.attachLater(text('good'))
  database.exec("update activestorage_delayed_chunks set data = cast('evil' as blob)")
  await assert.rejects(storage.drain({ throwOnError: true }), { code: 'INTEGRITY' })
  assert.equal(service.objects.size, 0)
})

/** Two that failed for good: of user 1 eight days ago, of user 2 a moment ago. */
async function twoFailures(app: App): Promise<void> {
  for (const id of [1, 2]) {
    app.service.failures = 3
    await app.storage.record('User', id).photo.attachLater(text('x'))
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await app.makeDue()
      await app.storage.drain()
    }
  }
  await app.query(`update {uploads} set run_at = run_at - ${8 * DAY} where uploadable_id = 1`)
}
const failures = async (app: App): Promise<string[]> =>
  (await app.query('select uploadable_id from {uploads} order by id')).map((row) =>
    String(row['uploadable_id']),
  )
const chunks = async (app: App): Promise<number> =>
  (await app.query('select position from {chunks}')).length

atEach(databases, 'failed uploads keep their bytes for ever', async (app) => {
  await twoFailures(app)
  await app.query(`update {uploads} set run_at = run_at - ${3650 * DAY}`)
  await app.storage.sweep()
  assert.deepEqual([await failures(app), await chunks(app)], [['1', '2'], 2])
})

atEach(
  databases,
  'failed uploads that are kept for a time go after it with their bytes, and not before',
  async (app) => {
    await twoFailures(app)
    const keeping = createActiveStorage({
      database: app.another().database,
      services: { test: app.service },
      models: { User: { photo: hasOneAttached() } },
      secretKeyBase: 's',
      retries,
      failed: { keepFor: '7d' },
      logger: false,
    })
    await keeping.sweep()
    assert.deepEqual([await failures(app), await chunks(app)], [['2'], 1])
    await app.query(`update {uploads} set run_at = run_at - ${8 * DAY}`)
    await keeping.sweep()
    assert.deepEqual([await failures(app), await chunks(app)], [[], 0])
  },
)

atEach(
  databases,
  'the row of a worker that died goes a day after its last sign of life',
  async (app) => {
    for (const hours of [1, 23, 25])
      await app.query(
        `insert into {workers} (id, started_at, seen_at, knows) values ('${hours} hours', 1, ${Date.now() - hours * 60 * MINUTE}, '[]')`,
      )
    await app.storage.sweep()
    const left = (await app.query('select id from {workers}'))
      .map((row) => String(row['id']))
      .toSorted()
    assert.deepEqual(left, ['1 hours', '23 hours'])
  },
)
