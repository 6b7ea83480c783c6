import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { closeDatabases } from './support/databases.ts'

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const file = (name: string): File => new File([name], name)

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
