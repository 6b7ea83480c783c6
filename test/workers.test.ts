import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { closeDatabases } from './support/databases.ts'

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const file = (name: string): File => new File([name], name)

test(
  'a worker stops although a hook never returns and its queue cannot stop',
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
      // It takes messages and delivers none.
      enqueue: () => Promise.resolve(),
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
