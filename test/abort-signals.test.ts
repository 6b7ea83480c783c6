// An AbortSignal ends the public calls that can take long.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { memory } from '../src/services/memory.ts'
import { closeDatabases, kinds } from './support/databases.ts'
import { fresh, text } from './support/storage.ts'

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached() } }
const [sqlite = assert.fail()] = kinds

/**
 * A service whose uploads, deletions and URLs wait until they are aborted, as long as `hangs` is
 * set.
 */
function hangingService() {
  const calls = new EventTarget()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const state = { hangs: false, calls, release }
  const service = memory()
  const hang = async (signal: AbortSignal | undefined): Promise<void> => {
    if (!state.hangs) return
    calls.dispatchEvent(new Event('call'))
    if (signal === undefined) assert.fail('The call has no signal.')
    if (!signal.aborted) await Promise.race([once(signal, 'abort'), released])
    signal.throwIfAborted()
  }
  const hanging: Service = {
    ...service,
    async upload(key, bytes, options) {
      await hang(options.signal)
      return service.upload(key, bytes, options)
    },
    async delete(key, options) {
      await hang(options?.signal)
      return service.delete(key, options)
    },
    async url(key, options) {
      await hang(options.signal)
      return service.url(key, options)
    },
    async urlForDirectUpload(key, options) {
      await hang(options.signal)
      return service.urlForDirectUpload(key, options)
    },
  }
  return { state, service: hanging }
}

test('attachLater stops staging when its signal aborts, and keeps nothing', async (t) => {
  const app = await fresh(t, sqlite, models)
  if (app === null) return
  const aborting = new AbortController()
  const io = (async function* () {
    yield new TextEncoder().encode('first')
    aborting.abort(new Error('Enough.'))
    yield new TextEncoder().encode('second')
  })()
  const { photo } = app.storage.record('User', 1)
  await assert.rejects(
    photo.attachLater({ io, filename: 'a.txt' }, { signal: aborting.signal }),
    /Enough/,
  )
  await assert.rejects(photo.attachLater(text('x'), { signal: aborting.signal }), /Enough/)
  await assert.rejects(
    app.storage.record('User', 1).attachLater({ photo: text('x') }, { signal: aborting.signal }),
    /Enough/,
  )
  assert.deepEqual(await app.storage.delayedUploads.list(), [])
  await app.storage.sweep()
  assert.equal((await app.storage.delayedUploads.stats()).stagedBytes, 0)
})

for (const kind of kinds)
  test(`${kind.name}: a transaction that commits after an abort keeps no staged file`, async (t) => {
    const app = await fresh(t, kind, { User: { docs: hasManyAttached() } })
    if (app === null) return
    const { storage } = app
    for (const how of ['attach', 'attachLater'] as const) {
      const aborting = new AbortController()
      const io = (async function* () {
        yield new TextEncoder().encode('first')
        aborting.abort(new Error('Enough.'))
        yield new TextEncoder().encode('second')
      })()
      await storage.transaction(async (tx) => {
        const { docs } = storage.record('User', 1, { transaction: tx })
        const files = [text('whole'), { io, filename: 'b.txt' }]
        await assert.rejects(docs[how](files, { signal: aborting.signal }), /Enough/)
        await docs.attachLater(text('kept'))
      })
      assert.deepEqual(
        (await storage.record('User', 1).docs.delayedUploads()).map(({ files }) =>
          files.map(({ filename }) => filename),
        ),
        [['kept.txt']],
      )
      await storage.sweep()
      assert.equal((await storage.delayedUploads.stats()).stagedBytes, 'kept'.length)
      await storage.drain()
    }
  })

test('attach stops its upload when its signal aborts', async (t) => {
  const { state, service } = hangingService()
  const app = await fresh(t, sqlite, models, { services: { test: service } })
  if (app === null) return
  const aborting = new AbortController()
  state.hangs = true
  state.calls.addEventListener('call', () => aborting.abort(new Error('Enough.')))
  const { photo } = app.storage.record('User', 1)
  await assert.rejects(photo.attach(text('x'), { signal: aborting.signal }))
  assert.equal(await photo.attached(), false)
  state.hangs = false
  assert.notEqual(await photo.attach(text('y'), { signal: new AbortController().signal }), null)
})

test('purge stops waiting for the service when its signal aborts; a worker deletes the object', async (t) => {
  const { state, service } = hangingService()
  const app = await fresh(t, sqlite, models, { services: { test: service } })
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  const key = (await photo.attach(text('x')))?.blob.key ?? ''
  const aborting = new AbortController()
  state.hangs = true
  state.calls.addEventListener('call', () => aborting.abort(new Error('Enough.')))
  await photo.purge({ signal: aborting.signal })
  assert.equal(await photo.attached(), false)
  assert.equal(await service.exists(key), true)
  await assert.rejects(photo.purge({ signal: aborting.signal }), /Enough/)
})

test('whenAttached and reconcile end when their signal aborts', async (t) => {
  const { state, service } = hangingService()
  const app = await fresh(t, sqlite, models, { services: { test: service } })
  if (app === null) return
  const aborting = new AbortController()
  const { photo } = app.storage.record('User', 1)
  await photo.attachLater(text('x'))
  state.hangs = true
  state.calls.addEventListener('call', () => aborting.abort(new Error('Enough.')))
  await assert.rejects(photo.whenAttached({ signal: aborting.signal }), /Enough/)
  await assert.rejects(photo.whenAttached({ signal: aborting.signal }), /Enough/)
  assert.equal((await photo.delayedUploads()).length, 1)
  // The upload goes on without its waiter; closing would wait for it.
  state.release()
  const missing = await fresh(t, sqlite, models, { findRecord: { User: () => null } })
  if (missing === null) return
  await missing.storage.record('User', 1).photo.attach(text('x'))
  await assert.rejects(
    missing.storage.reconcile({ olderThan: '0s', signal: aborting.signal }),
    /Enough/,
  )
  assert.equal(await missing.storage.record('User', 1).photo.attached(), true)
  assert.deepEqual(await missing.storage.reconcile({ olderThan: '0s' }), { removed: 1 })
})

const announced = { filename: 'a.txt', byteSize: 5, checksum: 'XUFAKrxLKna5cZ2REBfFkg==' }

test('url and createBeforeDirectUpload end when their signal aborts', async (t) => {
  const { state, service } = hangingService()
  const app = await fresh(t, sqlite, models, { services: { test: service } })
  if (app === null) return
  const file = (await app.storage.record('User', 1).photo.attach(text('x'))) ?? assert.fail()
  state.hangs = true
  let aborting = new AbortController()
  state.calls.addEventListener('call', () => aborting.abort(new Error('Enough.')))
  await assert.rejects(file.url({ signal: aborting.signal }), /Enough/)
  const countBlobs = async (): Promise<number> =>
    (await app.made.database.executor.run('select id from active_storage_blobs', [])).rows.length
  aborting = new AbortController()
  const { blobs } = app.storage
  await assert.rejects(
    blobs.createBeforeDirectUpload({ ...announced, signal: aborting.signal }),
    /Enough/,
  )
  assert.equal(await countBlobs(), 2)
  await assert.rejects(
    blobs.createBeforeDirectUpload({ ...announced, signal: aborting.signal }),
    /Enough/,
  )
  assert.equal(await countBlobs(), 2)
})

test('a request whose client leaves ends, and is no error in the log', async (t) => {
  const { state, service } = hangingService()
  const lines: string[] = []
  const app = await fresh(t, sqlite, models, {
    services: { test: service },
    logger: {
      debug: (line: string) => void lines.push(`debug ${line}`),
      info: () => undefined,
      warn: () => undefined,
      error: (line: string) => void lines.push(`error ${line}`),
    },
  })
  if (app === null) return
  const file = (await app.storage.record('User', 1).photo.attach(text('x'))) ?? assert.fail()
  state.hangs = true
  let aborting = new AbortController()
  state.calls.addEventListener('call', () => aborting.abort(new Error('Enough.')))
  await app.storage.handler(
    new Request(`http://app.test${file.path()}`, { signal: aborting.signal }),
  )
  aborting = new AbortController()
  const { filename: name, byteSize, checksum } = announced
  await app.storage.handler(
    new Request('http://app.test/rails/active_storage/direct_uploads', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ blob: { filename: name, byte_size: byteSize, checksum } }),
      signal: aborting.signal,
    }),
  )
  assert.equal(lines.filter((line) => /^debug The client of .* left/.test(line)).length, 2)
  assert.deepEqual(
    lines.filter((line) => line.startsWith('error')),
    [],
  )
})
