// A service that is down costs its files no attempts, and blocks no other service.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  ConfigurationError,
  hasManyAttached,
  hasOneAttached,
  IntegrityError,
  ServiceError,
  ServiceUnavailableError,
} from '../src/index.ts'
import type { Database, JobEngine, Service } from '../src/adapters.ts'
import { memory } from '../src/services/memory.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { testStorage } from '../src/testing/index.ts'
import { atEach, closeServers, databases } from './support/races.ts'
import { storageOn, text } from './support/storage.ts'
import { memoryQueue } from './support/table-queue.ts'
import { stopTimers } from './support/time.ts'

after(closeServers)

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const models = {
  User: { photo: hasOneAttached({ service: 'away' }), docs: hasManyAttached({ service: 'fine' }) },
}
const hourly = { minDelay: '1h', maxDelay: '1h' } as const

/** A service whose uploads fail as they are told to, and are counted. */
function failing(inner: Service) {
  const service = {
    ...inner,
    error: new ServiceUnavailableError('It is away.') as Error | null,
    uploads: 0,
    running: 0,
    most: 0,
    async upload(...given: Parameters<Service['upload']>) {
      service.uploads += 1
      service.running += 1
      service.most = Math.max(service.most, service.running)
      await delay(5)
      service.running -= 1
      if (service.error !== null) throw service.error
      await inner.upload(...given)
    },
  }
  return service
}

atEach(
  databases,
  'an outage uses no attempts, and ends after retries.for; a manual retry starts again',
  async (app) => {
    const away = failing(app.service)
    const services = { away, fine: app.service }
    const storage = app.anotherWith(models, {
      retries: { attempts: 2, ...hourly, for: '2d' },
      services,
      service: 'fine',
    })
    const { photo } = storage.record('User', 1)
    await photo.attachLater(text('x'))
    const state = async () => {
      const [upload] = await photo.delayedUploads()
      return [upload?.state, upload?.attempts]
    }
    for (const error of [
      new ServiceUnavailableError('503'),
      Object.assign(new Error('no way there'), { code: 'ECONNREFUSED' }),
    ])
      for (let round = 0; round < 2; round += 1) {
        away.error = error
        assert.equal((await storage.drain()).retried, 1)
        assert.deepEqual(await state(), ['pending', 0])
        await app.makeDue()
      }
    // Its own errors count, and end the outage.
    away.error = new IntegrityError('It was broken on the way.')
    await storage.drain()
    assert.deepEqual(await state(), ['pending', 1])
    assert.deepEqual(
      await app.query('select unavailable_since from {uploads} where unavailable_since > 0'),
      [],
    )

    away.error = new ServiceUnavailableError('503')
    await app.makeDue()
    await storage.drain()
    await app.query(
      `update {uploads} set run_at = 0, unavailable_since = unavailable_since - ${2 * DAY}`,
    )
    assert.equal((await storage.drain()).failed, 1)
    assert.deepEqual(await state(), ['failed', 1])
    const [failed] = await photo.delayedUploads()
    await failed?.retry()
    assert.equal((await storage.drain()).retried, 1)
    assert.deepEqual(await state(), ['pending', 0])
    // One that waits for its service blocks no younger one of its lane.
    away.error = null
    await photo.attachLater(text('y'))
    assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
    assert.deepEqual(await app.attached(1, 'photo'), ['y.txt'])
  },
)

test('a service is tried again after as long as it has been down, or five minutes at most', async (t) => {
  const { storage, service, clock } = await testStorage(models, {
    services: ['away', 'fine'],
    retries: { minDelay: '5s', maxDelay: '1h' },
  })
  t.after(() => storage.close())
  const { photo } = storage.record('User', 1)
  service.fail(Infinity, new ServiceUnavailableError('503'))
  await photo.attachLater(text('x'))
  const waits: number[] = []
  for (let elapsed = 0; ;) {
    const { retried } = await storage.drain()
    if (retried === 0) break
    const [upload] = await photo.delayedUploads()
    const wait = (upload?.runAt.getTime() ?? 0) - clock.now().getTime()
    const longest = Math.max(5_000, Math.min(elapsed, 5 * MINUTE))
    // A little real time passes too.
    assert.ok(wait <= longest + 500 && wait > longest * 0.7, `${wait} ms after ${elapsed} ms`)
    waits.push(wait)
    // Hours are left out.
    const pass = waits.length === 15 ? 70 * 60 * MINUTE : wait + 1000
    clock.advance(`${pass}ms`)
    elapsed += pass
  }
  assert.ok(waits.length > 20, `${waits.length} attempts`)
  const [upload] = await photo.delayedUploads()
  assert.deepEqual([upload?.state, upload?.attempts], ['failed', 0])
})

test('a service that is down gets one upload at a time, while others continue', async (t) => {
  const away = failing(memory())
  const fine = memory()
  const database = sqlite(':memory:') as unknown as Database<never>
  const storage = storageOn(database, models, away, {
    services: { away, fine },
    service: 'fine',
    retries: hourly,
  })
  t.after(() => storage.close())
  await storage.migrate()
  for (let id = 1; id <= 12; id += 1) {
    await storage.record('User', id).photo.attachLater(text('x'))
    await storage.record('User', id).docs.attachLater(text('y'))
  }
  const first = await storage.drain({ concurrency: 6 })
  assert.deepEqual([first.uploaded, away.uploads], [12, 3])
  const makeDue = () =>
    database.executor.run(
      "update activestorage_delayed_uploads set run_at = 0 where state = 'pending'",
      [],
    )
  for (const uploads of [4, 5]) {
    await makeDue()
    assert.equal((await storage.drain({ concurrency: 6 })).retried, 1)
    assert.equal(away.uploads, uploads)
  }
  await makeDue()
  away.most = 0
  away.error = null
  assert.equal((await storage.drain({ concurrency: 6 })).uploaded, 12)
  assert.ok(away.most > 1, 'it is back, and all its places are used')
})

for (const concurrency of [
  4,
  { total: 4, perService: 2 },
  { total: 4, perService: 4, services: { away: 2 } },
])
  test(`a hanging service takes only its own capacity: ${JSON.stringify(concurrency)}`, async (t) => {
    const hanging = Promise.withResolvers<void>()
    let hung = 0
    const away: Service = {
      ...memory(),
      async upload() {
        hung += 1
        await hanging.promise
      },
    }
    const fine = memory()
    const storage = storageOn(sqlite(':memory:'), models, away, {
      services: { away, fine },
      service: 'fine',
    })
    t.after(() => storage.close())
    await storage.migrate()
    for (let id = 1; id <= 6; id += 1) await storage.record('User', id).photo.attachLater(text('x'))
    const worker = storage.work({ concurrency })
    for (let id = 1; id <= 6; id += 1) await storage.record('User', id).docs.attachLater(text('y'))
    while (fine.objects.size < 6) await delay(5)
    assert.equal(hung, 2)
    hanging.resolve()
    await worker.stop()
  })

test(
  'simultaneous messages take capacity only of their service; the rest runs later',
  { timeout: 60_000 },
  async (t) => {
    const away = failing(memory())
    away.error = null
    const storage = storageOn(sqlite(':memory:'), models, away, {
      services: { away, fine: memory() },
      service: 'fine',
      // What is put off has to go on without its second message.
      jobs: memoryQueue({ losesDelayed: true }),
    })
    t.after(() => storage.close())
    await storage.migrate()
    // A worker goes on with what it put off for 5 s, which a busy machine may need for less than all.
    t.mock.method(performance, 'now', () => 1)
    const uploads = 20
    for (let id = 1; id <= uploads; id += 1)
      await storage.record('User', id).photo.attachLater(text('x'))
    const worker = storage.work({ concurrency: { total: uploads, perService: 2 } })
    while ((await storage.delayedUploads.list()).length > 0) await delay(5)
    await worker.stop()
    assert.equal(away.uploads, uploads)
    assert.ok(away.most <= 2, `${away.most} at once`)
  },
)

atEach(
  [databases[0]!],
  'a worker that receives a message checks in time whether a service is back',
  async (app, t) => {
    // Without a message, a worker looks every 30 s.
    stopTimers(t, 30_000)
    const away = failing(memory())
    const storage = app.anotherWith(
      models,
      {
        services: { away, fine: app.service },
        service: 'fine',
        retries: { minDelay: '100ms', maxDelay: '1h' },
      },
      away,
    )
    for (let id = 1; id <= 6; id += 1) await storage.record('User', id).photo.attachLater(text('x'))
    const worker = storage.work({ concurrency: 2 })
    while ((await storage.delayedUploads.list()).length > 0) {
      if (away.uploads > 6) away.error = null
      await delay(20)
    }
    await worker.stop()
  },
)

atEach(
  databases,
  'a drain deletes all objects of a service with less capacity, and none of one that is down',
  async (app) => {
    const away = memory()
    const fine = memory()
    const storage = app.anotherWith(models, { services: { away, fine }, service: 'fine' })
    const { photo, docs } = storage.record('User', 1)
    const files = 12
    await docs.attach(Array.from({ length: files }, (_, index) => text(`${index}`)))
    await photo.attach(text('x'))
    let running = 0
    let most = 0
    let deleted = 0
    fine.delete = async () => {
      running += 1
      most = Math.max(most, running)
      await delay(5)
      running -= 1
      deleted += 1
    }
    away.delete = () => Promise.reject(new ServiceUnavailableError('503'))
    await docs.purgeLater()
    await photo.purgeLater()
    await storage.drain({ concurrency: { total: 5, perService: 2 } })
    assert.deepEqual([deleted, most], [files, 2])
    const left = await app.query("select attempts from {jobs} where name = 'delete-object'")
    assert.deepEqual(
      left.map(({ attempts }) => Number(attempts)),
      [1],
    )
  },
)

for (const [what, statement, nth] of [
  ['the claim of another service', /with candidates/, 2],
  ['putting off those that have to wait', /"u"\."id" in|u\.id in/, 1],
] as const)
  test(`a claimed upload is finished although the database fails in ${what}`, async (t) => {
    const database = sqlite(':memory:') as unknown as Database<never>
    let seen = 0
    const breaking = (executor: Database<never>['executor']): Database<never>['executor'] => ({
      run(sql, parameters) {
        if (isBreaking && statement.test(sql) && (seen += 1) === nth)
          return Promise.reject(new Error('The connection was lost.'))
        return executor.run(sql, parameters)
      },
    })
    let isBreaking = false
    const broken: Database<never> = {
      ...database,
      executor: breaking(database.executor),
      transaction: (run) =>
        database.transaction((open) => run({ tx: open.tx, executor: breaking(open.executor) })),
    }
    const storage = storageOn(broken, models, memory(), {
      services: { away: memory(), fine: memory() },
      service: 'fine',
    })
    t.after(() => storage.close())
    await storage.migrate()
    for (let id = 1; id <= 4; id += 1) {
      await storage.record('User', id).photo.attachLater(text('x'))
      await storage.record('User', id).docs.attachLater(text('y'))
      await storage.record('User', id).docs.attachLater(text('z'))
    }
    isBreaking = true
    assert.equal((await storage.drain({ concurrency: 4 })).uploaded, 12)
    assert.ok(seen >= nth)
  })

test('invalid concurrency is refused when work begins', async (t) => {
  const storage = storageOn(sqlite(':memory:'), models, memory(), {
    services: { away: memory(), fine: memory() },
    service: 'fine',
  })
  t.after(() => storage.close())
  for (const concurrency of [
    0,
    1.5,
    { total: 0 },
    { perService: -1 },
    { services: { away: 0 } },
    { services: { nowhere: 1 } },
    { all: 1 },
  ]) {
    await assert.rejects(storage.drain({ concurrency: concurrency as never }), ConfigurationError)
    assert.throws(() => storage.work({ concurrency: concurrency as never }), ConfigurationError)
  }
  assert.throws(() => storage.work({ concurrency: { total: 0 } }), {
    message: 'concurrency.total must be a whole number above 0.',
  })
})

atEach(databases, 'drain counts as failed what its sweep marks as failed', async (app) => {
  const storage = app.anotherWith(models, {
    services: { away: app.service, fine: app.service },
    service: 'fine',
    gem: { moveAfter: '0s' },
  })
  const dead = async (id: number) => {
    await storage.record('User', id).photo.attachLater(text('x'))
    await app.query(
      `update {uploads} set state = 'running', attempts = 99, lease_token = 'dead', lease_until = 2 where uploadable_id = ${id}`,
    )
  }
  await dead(1)
  await app.query(
    `insert into {uploads} (uploadable_type, uploadable_id, attr_name, files, created_at, updated_at)
      values ('User', 2, 'photo', 'no JSON', '2020-01-01 00:00:00', '2020-01-01 00:00:00')`,
  )
  assert.equal((await storage.drain()).failed, 2)
  await dead(3)
  await assert.rejects(storage.drain({ throwOnError: true }), (error: ServiceError) =>
    /worker died/.test(error.message),
  )
})

atEach(
  databases,
  'the time of a retry is the same in its row, its hook and the queue',
  async (app) => {
    const told: (Date | null)[] = []
    const hints: (Date | null)[] = []
    const jobs: JobEngine = {
      name: 'a queue of the test',
      transactional: false,
      enqueue: (_hint, { runAt }) => Promise.resolve(void hints.push(runAt)),
      work: () => Promise.resolve({ stop: () => Promise.resolve() }),
    }
    const photo = hasOneAttached({
      async errorUpload(_record, _error, _file, { retryAt }) {
        told.push(retryAt)
        await delay(20)
      },
    })
    const service: Service = {
      ...app.service,
      upload: () => Promise.reject(new ServiceError('refused')),
    }
    const storage = app.anotherWith({ User: { photo } }, { jobs, retries: hourly }, service)
    await storage.record('User', 1).photo.attachLater(text('x'))
    hints.length = 0
    await storage.drain()
    const [upload] = await storage.record('User', 1).photo.delayedUploads()
    assert.deepEqual(told, [upload?.runAt])
    assert.deepEqual(
      hints.filter((hint) => hint !== null),
      told,
    )
  },
)
