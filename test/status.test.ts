// `storage.status()` reports waiting and failed work, and unavailable services.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasManyAttached, hasOneAttached, ServiceUnavailableError } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const text = (name: string) => new File(['text'], name, { type: 'text/plain' })

test('the status of an empty storage has no uploads, workers or services', async (t) => {
  const { storage } = await testStorage(models)
  t.after(() => storage.close())
  assert.deepEqual(await storage.status(), {
    uploads: await storage.delayedUploads.stats(),
    failed: [],
    workers: [],
    jobs: [],
    gemRows: [],
    outages: [],
    oldTransaction: null,
  })
})

test('the status names failed uploads, live workers, waiting jobs and unavailable services', async (t) => {
  const { storage, service } = await testStorage(models, { retries: { attempts: 1 } })
  t.after(() => storage.close())
  const attachLater = async (name: string): Promise<string> => {
    const upload = await storage.record('User', 1).docs.attachLater(text(name))
    assert.ok(upload !== null)
    return upload.id
  }
  const blob = await storage.blobs.createAndUpload(text('blob.txt'))

  service.fail(1)
  const id = await attachLater('failed.txt')
  await storage.drain()
  service.fail(1, new ServiceUnavailableError('The service is away.'))
  await attachLater('waiting.txt')
  await storage.drain()
  await blob.purgeLater()
  const { uploads, failed, workers, jobs, outages } = await storage.status()

  assert.deepEqual([uploads.pending, uploads.failed, workers], [1, 1, []])
  const [upload] = failed
  assert.ok(upload !== undefined && upload.createdAt <= new Date())
  assert.match(upload.lastError ?? '', /because the test asked it to/)
  assert.deepEqual(
    [upload.id, upload.record, upload.name, upload.attempts, upload.files],
    [id, { type: 'User', id: '1' }, 'docs', 1, ['failed.txt']],
  )
  assert.deepEqual(
    jobs.filter(({ name }) => name === 'purge'),
    [{ name: 'purge', waiting: 1, failing: 0 }],
  )
  const [outage, ...others] = outages
  assert.deepEqual([outage?.service, others], ['test', []])
  assert.ok(outage !== undefined && outage.since <= new Date() && outage.retryAt >= outage.since)

  await storage.drain()
  const after = await storage.status()
  assert.deepEqual([after.uploads.pending, after.outages], [0, []])
})
