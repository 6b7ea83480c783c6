import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { closeDatabases } from './support/databases.ts'
import { sqliteServer } from './support/servers.ts'
import { testStorage } from '../src/testing/index.ts'
import { kinds } from './support/databases.ts'
import { fresh } from './support/storage.ts'
import { openServerApp, generatePieces, serverKinds } from './support/server-app.ts'

after(() => closeDatabases())

for (const kind of serverKinds)
  describe(`${kind.name}: a source that ends badly`, () => {
    test('a source that breaks off is an error with the name of the file, and leaves nothing', async (t) => {
      const app = await openServerApp(t, kind)
      if (app === null) return
      const source = Readable.from(
        generatePieces(4, (index) => {
          if (index === 2) throw new Error('connection reset')
        }),
      )
      await assert.rejects(
        app.storage.record('User', 1).photo.attachLater({ io: source, filename: 'cut.txt' }),
        /cut\.txt.*connection reset/,
      )
      assert.equal(source.destroyed, true)
      await app.storage.sweep()
      assert.deepEqual(
        [await app.count('chunks'), await app.count('files'), await app.count('uploads')],
        [0, 0, 0],
      )
    })

    test('a client that leaves between two pieces leaves nothing', async (t) => {
      const app = await openServerApp(t, kind)
      if (app === null) return
      const client = new AbortController()
      const source = Readable.from(
        generatePieces(4, (index) =>
          index === 2 ? client.abort(new Error('the client went away')) : undefined,
        ),
      )
      await assert.rejects(
        app.storage.stage({ io: source, filename: 'gone.txt' }, { signal: client.signal }),
        /went away/,
      )
      assert.equal(source.destroyed, true)
      await app.storage.sweep()
      assert.deepEqual([await app.count('chunks'), await app.count('files')], [0, 0])
    })
  })

test('a client that leaves while it sends nothing ends staging at once', async (t) => {
  const app = await openServerApp(t, sqliteServer)
  if (app === null) return
  const client = new AbortController()
  const silence = Promise.withResolvers<void>()
  const silent = generatePieces(2, () => {
    setImmediate(() => client.abort(new Error('the client went away')))
    return silence.promise
  })
  const staging = app.storage.stage({ io: silent, filename: 'gone.txt' }, { signal: client.signal })
  const late = delay(1000, 'still waiting', { ref: false })
  const outcome = await Promise.race([
    staging.then(
      () => 'staged',
      (error: unknown) => (error as Error).message,
    ),
    late,
  ])
  silence.resolve()
  await staging.catch(() => undefined)
  assert.match(outcome, /went away/)
})

test('a web stream that was partly read and released by its reader is refused', async (t) => {
  const { storage } = await testStorage({ User: { photo: hasOneAttached() } })
  t.after(() => storage.close())
  const { photo } = storage.record('User', 1)
  const whole = (): ReadableStream<Uint8Array> =>
    new Response('the whole file').body ?? assert.fail()
  for (const pieces of [1, Infinity]) {
    const stream = whole()
    const reader = stream.getReader()
    for (let read = 0; read < pieces && !(await reader.read()).done; read += 1);
    reader.releaseLock()
    assert.ok(!stream.locked && Readable.isDisturbed(stream as never))
    for (const how of ['attach', 'attachLater'] as const)
      await assert.rejects(photo[how]({ io: stream, filename: 'a.txt' } as never), {
        code: 'INVALID_INPUT',
      })
  }
  const upload = await photo.attachLater({ io: whole(), filename: 'a.txt' } as never)
  assert.equal(upload?.files[0]?.byteSize, 'the whole file'.length)
})

const sqliteKind = kinds.find((kind) => kind.name === 'SQLite')!
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

async function* yielding(pieces: readonly unknown[]): AsyncGenerator<never> {
  for (const piece of pieces) yield piece as never
}

test('a file that is missing or yields no bytes is an input error, now and later', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  const missing = { path: '/nowhere/at all.pdf' }
  const expected = {
    code: 'INVALID_INPUT',
    message: /at all\.pdf could not be read to its end: ENOENT/,
  }
  const words = { filename: 'words.txt', io: yielding(['text']) }
  await assert.rejects(photo.attachLater(missing), expected)
  await assert.rejects(photo.attach(missing), expected)
  await assert.rejects(app.storage.blobs.createAndUpload(missing), expected)
  await assert.rejects(photo.attach(words), {
    code: 'INVALID_INPUT',
    message: /words\.txt yields string, not bytes/,
  })
  await photo.attach(missing).catch((error: unknown) =>
    assert.deepEqual((error as { details: unknown }).details, {
      record: { type: 'User', id: '1' },
      attachment: 'photo',
      filename: 'at all.pdf',
    }),
  )
  assert.equal(app.service.uploads, 0)
})
