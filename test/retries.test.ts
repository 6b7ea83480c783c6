import assert from 'node:assert/strict'
import { after } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { closeDatabases } from './support/databases.ts'
import { atEach, closeServers, databases } from './support/races.ts'
import { text } from './support/storage.ts'
import { test } from 'node:test'
import { testStorage } from '../src/testing/index.ts'
import { createRefusingService } from './support/refusing-service.ts'
import { kinds } from './support/databases.ts'
import { fresh } from './support/storage.ts'

after(async () => {
  await closeServers()
  await closeDatabases()
})

const models = { User: { photo: hasOneAttached(), certificates: hasManyAttached() } }

for (const state of ['failed', 'pending'] as const)
  atEach(
    databases,
    `a retry of a ${state} cleanBefore upload keeps what the upload attached itself`,
    async (app) => {
      const service = createRefusingService(app, { retryable: state === 'pending' })
      const storage = app.anotherWith(
        models,
        { retries: { attempts: 5, minDelay: '1h', maxDelay: '1h' } },
        service,
      )
      const { certificates } = storage.record('User', 1)
      await certificates.attach(text('older'))
      await certificates.attachLater({ files: [text('good one'), text('bad')], cleanBefore: true })
      await storage.drain()
      assert.deepEqual(await app.attached(1, 'certificates'), ['good one.txt'])
      await certificates.attach(text('meanwhile'))
      service.down = false
      const [upload] = await certificates.delayedUploads()
      assert.equal(upload?.state, state)
      await upload.retry()
      await storage.drain({ throwOnError: true })
      await app.finishTidy()
      // A retry replaces the files that were attached in between.
      assert.deepEqual(await app.attached(1, 'certificates'), ['good one.txt', 'bad.txt'])
    },
  )

atEach(
  databases,
  'a retry of a failed upload to a has-one replaces the current file',
  async (app) => {
    const service = createRefusingService(app, { retryable: false })
    const storage = app.anotherWith(models, {}, service)
    const { photo } = storage.record('User', 1)
    await photo.attachLater(text('bad'))
    await storage.drain()
    service.down = false
    const [upload] = await photo.delayedUploads()
    await upload?.retry()
    await storage.drain({ throwOnError: true })
    assert.deepEqual(await app.attached(1, 'photo'), ['bad.txt'])
  },
)

const MINUTE = 60_000

test('the delay of retries doubles up to the longest, with random variation', async (t) => {
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

for (const kind of kinds) {
  test(`${kind.name}: a failed upload can be retried in the transaction that works on its lane`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    Object.assign(app.service, { failures: 1, final: true })
    const upload = await app.storage.record('User', 1).certificates.attachLater(text('a'))
    await app.storage.drain()
    await app.storage.transaction(async (tx) => {
      const { certificates } = app.storage.record('User', 1, { transaction: tx })
      await certificates.attachLater(text('b'))
      for (const failed of await certificates.delayedUploads())
        if (failed.id === upload?.id) await failed.retry()
    })
    await app.storage.drain({ throwOnError: true })
    assert.equal((await app.storage.record('User', 1).certificates.attachments()).length, 2)
  })
}
