import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import timers from 'node:timers/promises'
import { createTableNames } from '../src/database/schema.ts'
import { openStore, type Store } from '../src/database/store.ts'
import { hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { createJobSource, type JobDefinition } from '../src/jobs/job-source.ts'
import { insertJob } from '../src/jobs/job-transitions.ts'
import { Leases } from '../src/jobs/leases.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { storageOn, switchable } from './support/storage.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { sqlite } from '../src/database/sqlite.ts'

after(() => closeDatabases())

const models = { User: { photo: hasOneAttached() } }

for (const kind of kinds.filter(({ name }) => name !== 'SQLite'))
  test(
    `${kind.name}: with an exhausted pool the heartbeat asks for one connection at a time`,
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
            got && {
              executor: got.executor,
              release: () => got.release().finally(() => (given -= 1)),
              destroy: () => got.destroy().finally(() => (given -= 1)),
            }
          )
        },
      }
      const store = await openStore(database, createTableNames(), 'bigint')
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
        const leases = new Leases(store as never, {
          duration: 200,
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

test('a heartbeat whose connection never answers is abandoned, and another one is requested', async (t) => {
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
        destroy: () => new Promise(() => undefined),
      })
    },
  }
  const errors: unknown[] = []
  const leases = new Leases((await openStore(stuck, createTableNames(), 'bigint')) as never, {
    duration: 200,
    onError: (_text, error) => errors.push(error),
  })
  leases.hold('a token')
  await again.promise
  await Promise.race([leases.close(), delay(5000).then(() => assert.fail('close waits for ever'))])
  assert.ok(errors.length > 0)
})

test('a lease whose renewals succeed too late ends in time', async (t) => {
  const database = sqlite(':memory:')
  const store = await openStore(database, createTableNames(), 'bigint')
  let now = 0
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  t.mock.method(performance, 'now', () => now)
  let renewals = 0
  const slow = store.sessionOn({
    run(sql) {
      const isRenewal = sql.startsWith('update')
      if (isRenewal) renewals += 1
      // Longer than what is held back of a lease, and shorter than a beat.
      if (isRenewal && sql.includes('uploads')) now += 6_000
      return Promise.resolve({ rows: isRenewal ? [] : [{ lease_token: 'mine' }], affected: 1 })
    },
  })
  const leases = new Leases(
    {
      ...store,
      database: { ...store.database, reserve: () => Promise.resolve(null) },
      session: slow,
    } as never,
    { onError: (message, error) => assert.fail(`${message} ${String(error)}`) },
  )
  t.after(async () => {
    await leases.close()
    await database.close()
  })
  const { signal } = leases.hold('mine')
  for (let second = 1; second <= 55; second += 1) {
    assert.equal(signal.aborted, false, `second ${second}`)
    now += 1_000
    t.mock.timers.tick(1_000)
    await new Promise(setImmediate)
  }
  assert.match(String(signal.reason), /in time/)
  assert.ok(renewals > 0)
})

test('the lease of a job is renewed like that of an upload', async (t) => {
  const database = sqlite(':memory:')
  t.after(() => database.close())
  await storageOn(database, models, switchable()).migrate()
  const store = await openStore(database, createTableNames(), 'bigint')
  const leases = new Leases(store as never, {
    onError: (message, error) => assert.fail(`${message} ${String(error)}`),
  })
  t.after(() => leases.close())
  const begun = Promise.withResolvers<AbortSignal>()
  const finished = Promise.withResolvers<null>()
  const job: JobDefinition<{ readonly store: Store; readonly leases: Leases }> = {
    name: 'wait',
    run(_context, _job, signal) {
      begun.resolve(signal)
      return finished.promise
    },
  }
  const source = createJobSource(() => Promise.resolve({ store: store as never, leases }), [job], {
    onError: (_job, error) => assert.fail(String(error)),
    busyServices: () => Promise.resolve([]),
  })
  await insertJob(store.session, { name: 'wait', args: {} })
  const [task = assert.fail()] = await source.claim(1)
  const end = task.run(new AbortController().signal)
  const signal = await begun.promise
  const { db } = store.session
  await db.updateTable('jobs').set({ lease_until: 1 }).execute()
  await leases.renew()
  const [renewed] = await db.selectFrom('jobs').select('lease_until').execute()
  assert.ok(Number(renewed?.lease_until) > Date.now())
  assert.equal(signal.aborted, false)
  finished.resolve(null)
  await end
  assert.deepEqual(await db.selectFrom('jobs').select('id').execute(), [])
})
