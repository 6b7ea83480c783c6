// Tools for the tests of an app.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached({ service: 'archive' }) } }
const file = (name: string): File => new File([name], name)

test('one call creates a storage that can fail, corrupt, hang and be slow', async (t) => {
  const { storage, service } = await testStorage(models, { services: ['archive'] })
  t.after(() => storage.close())
  const user = storage.record('User', 1)
  await user.attachLater({ photo: file('photo'), docs: [file('a'), file('b')] })
  await storage.drain({ throwOnError: true })
  assert.equal(service.objects.size, 3)

  service.fail(1)
  await user.docs.attachLater(file('c'))
  await assert.rejects(storage.drain({ throwOnError: true }), /the test asked/)
  for (let round = 0; round < 20 && (await storage.drain()).remaining > 0; round += 1);
  service.corrupt(1)
  await user.docs.attachLater(file('d'))
  await assert.rejects(storage.drain({ throwOnError: true }), { code: 'INTEGRITY' })
  while ((await storage.drain()).remaining > 0);
  assert.equal((await user.docs.attachments()).length, 4)

  const release = service.hang()
  await user.docs.attachLater(file('e'))
  await storage.drain({ timeout: '50ms' })
  assert.equal((await user.docs.attachments()).length, 4)
  release()
  service.slowDown(5)
  const points: string[] = []
  service.at('uploaded', (key) => void points.push(key))
  await storage.drain({ throwOnError: true })
  assert.equal((await user.docs.attachments()).length, 5)
  assert.equal(points.length, 1)
})

test('a test moves the clock: retries, staged files and leases of dead workers follow', async (t) => {
  const { storage, service, clock } = await testStorage(models, {
    services: ['archive'],
    retries: { minDelay: '1h', maxDelay: '4h' },
    staging: { expiresIn: '2h' },
  })
  t.after(() => storage.close())
  const user = storage.record('User', 1)
  service.fail(1)
  await user.photo.attachLater(file('photo'))
  assert.deepEqual(await storage.drain(), { uploaded: 0, retried: 1, failed: 0, remaining: 1 })
  assert.equal((await storage.drain()).uploaded, 0)
  clock.advance('80m')
  assert.equal((await storage.drain()).uploaded, 1)
  assert.ok(Math.abs(clock.now().getTime() - Date.now() - 80 * 60_000) < 60_000)

  const staged = await storage.stage(file('forgotten'))
  clock.advance('121m')
  await assert.rejects(user.photo.attachLater(staged), { code: 'STAGED_FILE_EXPIRED' })

  // A worker that freezes, and wakes up when another has done its work.
  const frozen = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  service.at('uploaded', () => {
    reached.resolve()
    service.at('uploaded', () => undefined)
    return frozen.promise
  })
  await user.docs.attachLater(file('frozen'))
  const zombie = storage.drain()
  await reached.promise
  assert.equal((await storage.drain()).uploaded, 0)
  clock.advance('2m')
  assert.equal((await storage.drain()).uploaded, 1)
  frozen.resolve()
  assert.equal((await zombie).uploaded, 0)
  assert.equal((await user.docs.attachments()).length, 1)
})

test("dates that the app's own statements ask SQLite for follow the clock, others do not", async (t) => {
  const { storage, clock, database } = await testStorage(models, { services: ['archive'] })
  t.after(() => storage.close())
  const ask = (sql: string): unknown =>
    Object.values(database.prepare(`select ${sql}`).get() ?? {})[0]
  const fixed = [
    "date('2020-02-28', '+2 days')",
    "strftime('%Y', 0, 'unixepoch')",
    "unixepoch('2020-01-01')",
    "time('nonsense')",
  ]
  const before = fixed.map(ask)
  const [seconds, precise] = [ask('unixepoch()'), ask("unixepoch('subsec')")] as [number, number]
  clock.advance('2d')
  assert.deepEqual(fixed.map(ask), before)
  assert.deepEqual(before, ['2020-03-01', '1970', 1577836800, null])
  assert.ok(Math.abs(Number(ask('unixepoch()')) - seconds - 172_800) <= 1)
  assert.ok(Math.abs(Number(ask("unixepoch('subsec')")) - precise - 172_800) < 1)
  assert.match(String(ask("strftime('%s', 'now')")), /^\d+$/)
})

test('rows that hooks need stay until the hooks ran, however long it takes', async (t) => {
  let calls = 0
  const told = hasOneAttached({
    afterUploadAll() {
      calls += 1
      if (calls === 1) throw new Error('not yet')
    },
  })
  const { storage, clock, database } = await testStorage({ User: { photo: told } })
  t.after(() => storage.close())
  await storage.record('User', 1).photo.attachLater(file('photo'))
  await storage.drain()
  clock.advance('48h')
  await storage.sweep()
  await storage.drain()
  assert.equal(calls, 2)
  clock.advance('48h')
  await storage.sweep()
  for (const table of ['uploads', 'files'])
    assert.equal(
      database.prepare(`select count(*) as n from activestorage_delayed_${table}`).get()?.['n'],
      0,
    )
})
