import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { closeDatabases, kinds } from './support/databases.ts'
import { fresh } from './support/storage.ts'

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const file = (name: string): File => new File([name], name)

test('pages of uploads list each one once, although some were retried', async (t) => {
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

for (const kind of kinds)
  test(`${kind.name}: a list filters by model, attachment, record, state, error and time`, async (t) => {
    const app = await fresh(t, kind, { ...models, Post: { photo: hasOneAttached() } })
    if (app === null) return
    const { storage, service } = app
    const { list } = storage.delayedUploads
    const ids = async (filter: Parameters<typeof list>[0]): Promise<(string | undefined)[]> =>
      (await list(filter)).map(({ id }) => id)
    Object.assign(service, { failures: 1, final: true })
    const failed = await storage.record('User', 1).photo.attachLater(file('failed'))
    await storage.drain()
    const docs = await storage.record('User', 1).docs.attachLater(file('docs'))
    const photo = await storage.record('User', 2).photo.attachLater(file('photo'))
    const post = await storage.record('Post', 1).photo.attachLater(file('post'))

    assert.deepEqual(await ids({}), [post?.id, photo?.id, docs?.id, failed?.id])
    assert.deepEqual(await ids({ order: 'oldest' }), [failed?.id, docs?.id, photo?.id, post?.id])
    assert.deepEqual(await ids({ model: 'User' }), [photo?.id, docs?.id, failed?.id])
    assert.deepEqual(await ids({ model: 'User', attachment: 'docs' }), [docs?.id])
    assert.deepEqual(await ids({ model: 'User', recordId: 2n }), [photo?.id])
    assert.deepEqual(await ids({ recordId: '1' }), [post?.id, docs?.id, failed?.id])
    assert.deepEqual(await ids({ state: 'failed' }), [failed?.id])
    const [{ lastError, createdAt } = assert.fail()] = await list({ state: 'failed' })
    assert.ok(lastError !== null && lastError.length > 5)
    assert.deepEqual(await ids({ error: lastError.slice(1, -1).toUpperCase() }), [failed?.id])
    assert.deepEqual(await ids({ error: `${lastError} and more` }), [])
    assert.deepEqual(await ids({ error: '%' }), [])
    assert.equal((await ids({ createdFrom: createdAt })).length, 4)
    assert.deepEqual(await ids({ createdBefore: createdAt }), [])
    assert.equal((await ids({ createdBefore: new Date(Date.now() + 3_600_000) })).length, 4)
    assert.deepEqual(await ids({ createdFrom: new Date(Date.now() + 3_600_000) }), [])
    const [first] = await list({ limit: 1 })
    assert.deepEqual(await ids({ model: 'User', limit: 2, after: first?.id }), [
      photo?.id,
      docs?.id,
    ])
    await photo?.discard()
    assert.deepEqual(await ids({ after: photo?.id }), [docs?.id, failed?.id])
  })
