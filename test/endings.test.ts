// What ends in time, or is told: drains and workers with work that never ends, transactions that a database gave up.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import timers from 'node:timers/promises'
import mariadb from 'mariadb'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { mysql, type MysqlConnection, type MysqlPool } from '../src/database/mysql.ts'
import { postgres, type PgClient } from '../src/database/postgres.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { tableNames } from '../src/database/schema.ts'
import { openStore } from '../src/database/store.ts'
import {
  hasManyAttached,
  hasOneAttached,
  type Database,
  type Hint,
  type JobEngine,
} from '../src/index.ts'
import { drainSources, startWorker } from '../src/jobs/embedded.ts'
import { createLeases } from '../src/jobs/leases.ts'
import type { Task } from '../src/jobs/source.ts'
import { disk } from '../src/services/disk.ts'
import { testStorage } from '../src/testing/index.ts'
import {
  accountOf,
  kinds,
  postgresDatabase,
  stopEmbedded,
  type Account,
  type Kind,
} from './support/databases.ts'
import { fresh, storageOn, switchable, text } from './support/storage.ts'

after(() => stopEmbedded())

const models = { User: { photo: hasOneAttached() } }
const never = (): Promise<never> => new Promise(() => undefined)
const kindOf = (name: string): Kind => kinds.find((kind) => kind.name === name) ?? assert.fail()

/** Waits of a second and more, such as the grace of what is told to stop, take a fiftieth of their time. */
function hurry(t: TestContext): void {
  const real = timers.setTimeout
  const short = ((milliseconds = 0, ...rest: []) =>
    real(milliseconds < 1000 ? milliseconds : milliseconds / 50, ...rest)) as typeof real
  const use = (which: typeof real): void => {
    timers.setTimeout = which
    syncBuiltinESMExports()
  }
  use(short)
  t.after(() => use(real))
}

test(
  'a drain returns by its time-out though what it does never ends',
  { timeout: 10_000 },
  async (t) => {
    hurry(t)
    const hook = await testStorage({ User: { photo: hasOneAttached({ afterUpload: never }) } })
    const all = await testStorage({ User: { photo: hasOneAttached({ afterUploadAll: never }) } })
    const record = await testStorage(models, { findRecord: { User: never } })
    const service = await testStorage(models)
    service.service.at('upload', never)
    for (const { storage } of [hook, all, record, service]) {
      t.after(() => storage.close())
      await storage.record('User', 1).photo.attachLater(text('x'))
      const before = performance.now()
      await storage.drain({ timeout: '10ms' })
      await storage.drain({ signal: AbortSignal.abort() })
      assert.ok(performance.now() - before < 4000)
    }
  },
)

test(
  'a drain ends with its time-out, and a worker with its own, though a sweep goes on',
  { timeout: 10_000 },
  async (t) => {
    hurry(t)
    const said: string[] = []
    const options = {
      sources: [],
      concurrency: 1,
      sweep: never,
      onError: (message: string) => void said.push(message),
    }
    await drainSources(options, AbortSignal.timeout(10))
    const worker = startWorker({
      ...options,
      wakes: { subscribe: () => () => undefined },
      pollEvery: () => 1000,
    })
    await worker.stop({ timeout: 10 })
    assert.equal(said.length, 2)
  },
)

test('a drain looks again when what it did ended while it looked', async () => {
  const done: string[] = []
  const first = Promise.withResolvers<void>()
  let looks = 0
  let isFree = false
  const task = (name: string, run: () => Promise<void>): Task => ({
    run: async () => {
      await run()
      done.push(name)
    },
  })
  const claim = async (): Promise<Task[]> => {
    looks += 1
    if (looks === 1) return [task('first', () => first.promise.then(() => void (isFree = true)))]
    // The second of the lane: not its turn when this look begins, and its turn when it is over.
    if (isFree) {
      isFree = false
      return [task('second', () => Promise.resolve())]
    }
    first.resolve()
    await timers.setTimeout(5)
    return []
  }
  const sweep = (): Promise<void> => Promise.resolve()
  await drainSources(
    { sources: [{ name: 'of the test', claim }], concurrency: 2, sweep, onError: assert.fail },
    new AbortController().signal,
  )
  assert.deepEqual(done, ['first', 'second'])
})

test(
  'a queue that is down at first is subscribed to later, and uploads are carried meanwhile',
  { timeout: 10_000 },
  async (t) => {
    hurry(t)
    const attached = Promise.withResolvers<void>()
    const delivered = Promise.withResolvers<void>()
    const subscribed = Promise.withResolvers<void>()
    const up = Promise.withResolvers<void>()
    let tries = 0
    let handler: ((hint: Hint) => Promise<void>) | undefined
    const jobs: JobEngine = {
      name: 'a queue of the test',
      transactional: false,
      enqueue: (hint) => Promise.resolve(handler?.(hint)),
      async work(handle) {
        tries += 1
        if (tries < 3) throw new Error('connection refused')
        await up.promise
        handler = handle
        subscribed.resolve()
        return { stop: () => Promise.resolve() }
      },
    }
    const photo = hasOneAttached({
      afterUpload: (_record, file) =>
        (file.filename === 'first.txt' ? attached : delivered).resolve(),
    })
    const said: string[] = []
    const quiet = (): void => undefined
    const logger = {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: (message: string) => void said.push(message),
    }
    const { storage } = await testStorage({ User: { photo } }, { jobs, logger })
    t.after(() => storage.close())
    const worker = storage.work()
    await storage.record('User', 1).photo.attachLater(text('first'))
    await attached.promise
    assert.match(said[0] ?? '', /does not deliver; it is tried again/)
    up.resolve()
    await subscribed.promise
    await storage.record('User', 2).photo.attachLater(text('second'))
    await delivered.promise
    await worker.stop()
    assert.equal(tries, 3)
  },
)

for (const kind of kinds.filter(({ name }) => name !== 'SQLite'))
  test(
    `${kind.name}: while a pool is exhausted the heartbeat asks for one connection at a time, and gives each back`,
    { timeout: 20_000 },
    async (t) => {
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
      t.after(async () => {
        await made.database.close()
        await made.close()
      })
      const POOL = 10
      let asking = 0
      let most = 0
      let given = 0
      const database: Database<never> = {
        ...made.database,
        async reserve() {
          asking += 1
          most = Math.max(most, asking)
          const got = (await made.database.reserve?.()) ?? null
          asking -= 1
          given += 1
          return (
            got && { ...got, release: (broken) => got.release(broken).finally(() => (given -= 1)) }
          )
        },
      }
      const store = await openStore(database, tableNames(), 'bigint')
      await storageOn(made.database, models, switchable()).migrate()
      /** All connections of the pool, each in a transaction, until it is let go. */
      const exhaust = async (): Promise<() => Promise<void>> => {
        const gate = Promise.withResolvers<void>()
        const inside = Array.from({ length: POOL }, () => Promise.withResolvers<void>())
        const running = inside.map(({ resolve }) =>
          made.database.transaction(async () => {
            resolve()
            await gate.promise
          }),
        )
        await Promise.all(inside.map(({ promise }) => promise))
        return async () => {
          gate.resolve()
          await Promise.all(running)
        }
      }
      for (const closed of ['after', 'while'] as const) {
        const beats = Promise.withResolvers<void>()
        let failed = 0
        const release = await exhaust()
        const leases = createLeases(store as never, {
          lease: 200,
          onError() {
            failed += 1
            if (failed === 4) beats.resolve()
          },
        })
        leases.hold('a token')
        await beats.promise
        assert.equal(most, 1)
        if (closed === 'while') await leases.close()
        await release()
        for (let looks = 0; asking > 0; looks += 1)
          await timers.setTimeout(looks < 400 ? 5 : assert.fail('nobody gets a connection'))
        if (closed === 'after') await leases.close()
        for (let looks = 0; given > 0; looks += 1)
          await timers.setTimeout(looks < 400 ? 5 : assert.fail('a connection was kept'))
        // All are to be had again.
        await (
          await exhaust()
        )()
      }
    },
  )

const ended = { code: 'CONFIGURATION', message: /had ended before its commit/ }

test('PostgreSQL: a transaction in which the app caught an error of SQL is not taken for committed', async (t) => {
  const app = await fresh(t, kindOf('PostgreSQL'), models)
  if (app === null) return
  const { storage } = app
  await assert.rejects(
    storage.transaction(async (tx) => {
      await storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x'))
      await (tx as PgClient).query('insert into nowhere values (1)').catch(() => undefined)
    }),
    ended,
  )
  assert.deepEqual(await storage.record('User', 1).photo.delayedUploads(), [])
  // Behind a savepoint it is the app's own matter.
  await storage.transaction(async (tx) => {
    const client = tx as PgClient
    await storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x'))
    await client.query('savepoint before')
    await client.query('insert into nowhere values (1)').catch(() => undefined)
    await client.query('rollback to before')
  })
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
})

const pools: Readonly<Record<string, (account: Account) => MysqlPool>> = {
  mariadb: (account) =>
    mariadb.createPool({ ...account, connectionLimit: 4 }) as unknown as MysqlPool,
  mysql2: (account) => mysql2.createPool({ ...account, connectionLimit: 4 }),
}

/** A pool of the app's own, on a database of its own. null: there is no server. */
async function mysqlApp(t: TestContext, open: (account: Account) => MysqlPool) {
  const made = await kindOf('MariaDB').create()
  if (made === null) {
    t.skip('no MariaDB answered')
    return null
  }
  await made.database.close()
  const pool = open(accountOf(made.url))
  const storage = storageOn(mysql(pool) as unknown as Database<never>, models, switchable())
  t.after(async () => {
    await storage.close()
    await pool.end()
    await made.close()
  })
  await storage.migrate()
  return { pool, storage }
}

const gaveUp =
  'a transaction that the database gave up for a deadlock, which the app caught, is not taken for committed'
/** `more`: the app sends another statement on the connection, as if nothing had happened. */
async function deadlocked(
  t: TestContext,
  open: (account: Account) => MysqlPool,
  more: boolean,
): Promise<void> {
  const app = await mysqlApp(t, open)
  if (app === null) return
  const { pool, storage } = app
  const other = await pool.getConnection()
  try {
    await other.query('create table counters (id int primary key, value int not null)')
    await other.query(
      `insert into counters values ${Array.from({ length: 300 }, (_, id) => `(${id}, 0)`).join(', ')}`,
    )
    await other.query('start transaction')
    // What has changed most goes on.
    await other.query('update counters set value = 1 where id >= 2')
    const caught: unknown[] = []
    await assert.rejects(
      storage.transaction(async (tx) => {
        const mine = tx as MysqlConnection
        await storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x'))
        await mine.query('update counters set value = 2 where id = 1')
        const crossing = other.query('update counters set value = 3 where id = 1')
        await mine
          .query('update counters set value = 2 where id = 5')
          .catch((error: { errno: unknown }) => caught.push(error.errno))
        await crossing
        if (more) await mine.query('select 1')
      }),
      ended,
    )
    assert.deepEqual(caught, [1213])
    await other.query('commit')
  } finally {
    await other.release()
  }
  assert.deepEqual(await storage.record('User', 1).photo.delayedUploads(), [])
  // Its connection is as good as new.
  await storage.transaction(async (tx) =>
    storage.record('User', 1, { transaction: tx }).photo.attachLater(text('y')),
  )
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
}
for (const [driver, open] of Object.entries(pools))
  for (const more of [false, true])
    test(`${driver}: ${gaveUp}, ${more ? 'when it went on' : 'when that was its last statement'}`, (t) =>
      deadlocked(t, open, more))

test('mariadb: a connection on which no transaction is open is refused, before anything is written', async (t) => {
  const app = await mysqlApp(t, pools['mariadb'] ?? assert.fail())
  if (app === null) return
  const { pool, storage } = app
  const connection = await pool.getConnection()
  const submit = () =>
    storage.record('User', 1, { transaction: connection as never }).photo.attachLater(text('x'))
  await assert.rejects(submit(), { code: 'CONFIGURATION', message: /START TRANSACTION/ })
  await connection.query('start transaction')
  await submit()
  await connection.query('commit')
  await assert.rejects(submit(), { code: 'CONFIGURATION' })
  await connection.release()
  assert.equal((await storage.delayedUploads.stats()).pending, 1)
})

test('pg: a client on which no transaction is open is refused, before anything is written', async (t) => {
  const made = await postgresDatabase()
  if (made === null) return t.skip('no PostgreSQL')
  const pool = new pg.Pool({ connectionString: made.url, max: 4 })
  const storage = storageOn(postgres(pool) as unknown as Database<never>, models, switchable())
  t.after(async () => {
    await storage.close()
    await pool.end()
    await made.close()
  })
  await storage.migrate()
  const client = await pool.connect()
  const submit = () =>
    storage.record('User', 1, { transaction: client as never }).photo.attachLater(text('x'))
  await assert.rejects(submit(), { code: 'CONFIGURATION', message: /send BEGIN/ })
  await client.query('begin')
  await submit()
  await client.query('commit')
  await assert.rejects(submit(), { code: 'CONFIGURATION' })
  client.release()
  assert.equal((await storage.delayedUploads.stats()).pending, 1)
})

test('PostgreSQL: without notifications none are sent', async (t) => {
  const made = await postgresDatabase()
  if (made === null) return t.skip('no PostgreSQL')
  t.after(() => made.close())
  const send = pg.Client.prototype.query as (this: pg.Client, ...given: unknown[]) => unknown
  let sent = 0
  t.mock.method(pg.Client.prototype, 'query', function (this: pg.Client, ...given: unknown[]) {
    const [statement] = given as [string | { text?: string }]
    if (
      /pg_notify|^\s*notify/i.test(
        typeof statement === 'string' ? statement : (statement.text ?? ''),
      )
    )
      sent += 1
    return send.apply(this, given)
  } as never)
  for (const notify of [false, true]) {
    const storage = storageOn(
      postgres({ url: made.url, notify }) as unknown as Database<never>,
      models,
      switchable(),
    )
    await storage.migrate()
    sent = 0
    const upload = await storage.record('User', 1).photo.attachLater(text('x'))
    await storage.transaction(async (tx) =>
      storage.record('User', 2, { transaction: tx }).photo.attachLater(text('x')),
    )
    await upload?.retry()
    await storage.close()
    assert.equal(sent, notify ? 3 : 0)
  }
})

test('a file is stored under its name, cut to what a key may hold, and with more where it is too short', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'asd-names-'))
  t.after(() => rm(root, { recursive: true }))
  const prefix = `tenants/0193b2a4-5a7e-7c3a-9d52-0c1b2a3d4e5f/${'sub/'.repeat(20)}user-photos`
  const plain = { useFilename: (_record: unknown, name: string) => name }
  const named = {
    long: hasOneAttached({ keyPrefix: prefix, useFilename: true }),
    chosen: hasManyAttached({ keyPrefix: prefix, ...plain }),
    short: hasManyAttached(plain),
  }
  const storage = storageOn(
    sqlite(':memory:') as unknown as Database<never>,
    { User: named },
    disk({ root }),
  )
  t.after(() => storage.close())
  await storage.migrate()
  const { long, chosen, short } = storage.record('User', 1)
  await long.attachLater(text('1', `${'x'.repeat(250)}.png`))
  for (const letter of ['x', 'é', '日'])
    await chosen.attachLater([
      text('2', `${letter.repeat(80)}.png`),
      text('3', `${letter.repeat(80)}.png`),
    ])
  // One of them would be a folder of the other.
  for (const name of ['aa', 'aaaa.txt', 'a', 'aaa', 'aaaa', 'aaaaa', 'bb', 'bbbb.txt'])
    await short.attachLater(text(name, name))
  assert.deepEqual(await storage.drain({ throwOnError: true }), {
    uploaded: 12,
    retried: 0,
    failed: 0,
    remaining: 0,
  })
  const keys = new Set<string>()
  for (const attachment of [
    await long.attachment(),
    ...(await chosen.attachments()),
    ...(await short.attachments()),
  ]) {
    const { blob } = attachment ?? assert.fail()
    assert.ok(Buffer.byteLength(blob.key) <= 255)
    assert.ok(blob.key.length >= 5)
    keys.add(blob.key)
    await blob.download()
  }
  assert.equal(keys.size, 15)
  assert.ok(keys.has('aaaa.txt') && keys.has('aaaaa'))
  assert.ok(!keys.has('aa'))
})
