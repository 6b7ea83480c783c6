import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached, ServiceError } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { createRefusingService } from './support/refusing-service.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { atEach, closeServers, databases } from './support/races.ts'
import { fresh, text } from './support/storage.ts'

after(async () => {
  await closeServers()
  await closeDatabases()
})

const models = { User: { photo: hasOneAttached(), certificates: hasManyAttached() } }
const DAY = 24 * 3_600_000

interface Said {
  readonly text: string
  readonly details: Record<string, unknown>
}

atEach(
  databases,
  'a failed upload is discarded failed.keepFor after its failure, and reported',
  async (app) => {
    const said: Said[] = []
    const say = (text: string, details: Record<string, unknown>): void =>
      void said.push({ text, details })
    const quiet = (): void => undefined
    const logger = { debug: quiet, info: quiet, warn: say, error: quiet }
    const service = createRefusingService(app, { retryable: false })
    const keeping = app.anotherWith(
      {
        User: {
          photo: hasOneAttached({ afterUpload: () => Promise.reject(new Error('later')) }),
          certificates: hasManyAttached(),
        },
      },
      { failed: { keepFor: '7d' }, logger },
      service,
    )
    const states = async () =>
      (await app.query('select uploadable_id, state from {uploads} order by uploadable_id')).map(
        (row) => `${String(row['uploadable_id'])} ${String(row['state'])}`,
      )
    const failedAgo = (days: number, which = '') =>
      app.query(`update {uploads} set run_at = ${Date.now() - days * DAY} ${which}`)
    for (const id of [1, 2, 3])
      await keeping.record('User', id).certificates.attachLater([text('bad'), text('good one')])
    await keeping.drain()
    await failedAgo(8)
    const [, second, third] = await keeping.delayedUploads.list({ order: 'oldest' })
    // One whose hook is still to be told of what was attached, one that a worker holds, and one
    // that nobody wants.
    await app.query(
      "update {files} set state = 'attached' where state = 'done' and upload_token = (select token from {uploads} where uploadable_id = 1)",
    )
    await app.query(
      `update {uploads} set lease_until = ${Date.now() + 60_000} where uploadable_id = 2`,
    )
    said.length = 0
    await keeping.sweep()
    assert.deepEqual(await states(), ['1 failed', '2 failed'])
    const told = () =>
      said.map(({ text, details }) => [
        /keepFor/.test(text),
        (details['record'] as { id: string }).id,
        details['upload'],
      ])
    assert.deepEqual(told(), [[true, '3', third?.id]])

    await app.query('update {uploads} set lease_until = 0')
    await failedAgo(6, 'where uploadable_id = 2')
    await keeping.sweep()
    assert.deepEqual(await states(), ['1 failed', '2 failed'])
    await failedAgo(8, 'where uploadable_id = 2')
    await keeping.sweep()
    assert.deepEqual(await states(), ['1 failed'])
    assert.deepEqual(told().at(-1), [true, '2', second?.id])
    await app.query("update {files} set state = 'done' where state = 'attached'")
    await keeping.sweep()
    assert.deepEqual(await states(), [])
    assert.equal(said.length, 3)
  },
)

atEach(
  databases,
  'an upload that succeeds long after one of its files failed is kept from then on',
  async (app) => {
    let hold = true
    const refusing = createRefusingService(app, { retryable: false })
    const service: Service = {
      ...refusing,
      upload: (key, body, options) =>
        hold && options.byteSize !== 'bad'.length
          ? Promise.reject(new ServiceError('for now'))
          : refusing.upload(key, body, options),
    }
    const storage = app.anotherWith(
      models,
      { failed: { keepFor: '7d' }, retries: { attempts: 5, minDelay: '1h', maxDelay: '1h' } },
      service,
    )
    const { certificates } = storage.record('User', 1)
    await certificates.attachLater([text('bad'), text('good one')])
    await storage.drain()
    hold = false
    await app.query(`update {uploads} set run_at = ${Date.now() - 8 * DAY}`)
    const written = storage.holdAfter(/^update uploads set state = \S+, run_at = .* where coalesce/)
    const working = app.begin(() => storage.drain())
    await written.reachedBy(working)
    // Its worker dies right there.
    await app.query('update {uploads} set lease_until = 0')
    await app.anotherWith(models, { failed: { keepFor: '7d' } }).sweep()
    written.open()
    await working
    assert.deepEqual(
      (await certificates.delayedUploads()).map(({ state, files }) => [
        state,
        files.map((file) => file.state),
      ]),
      [['failed', ['failed', 'attached']]],
    )
  },
)

const odd = `bad \0 answer \ud800 of ${'x'.repeat(100_000)}`
atEach(
  databases,
  'an error text of a service that no database can store is adapted, and the upload fails',
  async (app) => {
    const told: string[] = []
    const photo = hasOneAttached({ errorUpload: (_record, error) => void told.push(error.message) })
    const service: Service = {
      ...app.service,
      upload: () => Promise.reject(new Error(odd)),
      delete: () => Promise.reject(new Error(odd)),
    }
    const storage = app.anotherWith(
      { User: { photo } },
      { retries: { attempts: 2, minDelay: '1h', maxDelay: '1h' } },
      service,
    )
    const slot = storage.record('User', 1).photo
    await slot.attachLater(text('x'))
    assert.equal((await storage.drain()).retried, 1)
    await app.makeDue()
    assert.equal((await storage.drain()).failed, 1)
    const [upload] = await slot.delayedUploads()
    for (const message of [upload?.lastError, upload?.files[0]?.lastError]) {
      assert.match(message ?? '', /^bad .*answer .* of x{1000}/)
      assert.ok((message ?? '').length <= odd.length)
    }
    assert.equal(told.length, 2)

    // The same of jobs.
    await app.storage.record('User', 2).photo.attach(text('y'))
    await app.storage.record('User', 2).photo.purge()
    const blob = await app.storage.blobs.createAndUpload(text('z'))
    await storage.blobs.find(blob.id).then((found) => found?.purge())
    await app.makeDue()
    await storage.drain()
    const [job] = await app.query(
      'select state, last_error from {jobs} where last_error is not null',
    )
    assert.equal(job?.['state'], 'pending')
    assert.match(String(job['last_error']), /^bad .*answer/)
  },
)

for (const kind of kinds)
  test(`${kind.name}: two storages with separate files never show or touch each other's failures`, async (t) => {
    const app = await fresh(t, kind, models, {
      tables: { prefix: 'a_' },
      failed: { keepFor: '1d' },
    })
    if (app === null) return
    const a = app.storage
    const b = app.another({ tables: { prefix: 'b_' } })
    await b.migrate()
    Object.assign(app.service, { failures: 2, final: true })
    const precious = await b.record('User', 1).certificates.attachLater(text('precious'))
    await b.drain()
    const own = await a.record('User', 2).certificates.attachLater(text('own'))
    await a.drain()
    const shown = async (storage: typeof a) => ({
      list: (await storage.delayedUploads.list({ state: 'failed' })).map(({ id, files }) => [
        id,
        files.map(({ state, filename }) => `${state} ${filename}`),
      ]),
      failed: (await storage.delayedUploads.stats()).failed,
      oldest: (await storage.delayedUploads.stats()).oldestFailedAt !== null,
    })
    const ofB = { list: [[precious?.id, ['failed precious.txt']]], failed: 1, oldest: true }
    assert.deepEqual(await shown(a), {
      list: [[own?.id, ['failed own.txt']]],
      failed: 1,
      oldest: true,
    })
    assert.deepEqual(await shown(b), ofB)
    assert.equal(await a.delayedUploads.find(precious?.id ?? ''), null)
    assert.equal(await a.delayedUploads.findSigned(precious?.signedId ?? ''), null)

    // The command line retries all failed uploads like this.
    for (const upload of await a.delayedUploads.list({ state: 'failed' })) await upload.retry()
    for (const upload of await a.record('User', 1).certificates.delayedUploads()) {
      await upload.retry()
      await upload.discard()
    }
    await a.drain({ throwOnError: true })
    await app.made.database.executor.run('update activestorage_delayed_uploads set run_at = 1', [])
    await a.sweep()
    for (const upload of await a.delayedUploads.list({ state: 'failed' })) await upload.discard()
    assert.deepEqual(await shown(b), ofB)
    assert.deepEqual(await shown(a), { list: [], failed: 0, oldest: false })

    for (const upload of await b.delayedUploads.list({ state: 'failed' })) await upload.retry()
    await b.drain({ throwOnError: true })
    assert.deepEqual(
      (await b.record('User', 1).certificates.attachments()).map(({ filename }) => filename),
      ['precious.txt'],
    )
  })
