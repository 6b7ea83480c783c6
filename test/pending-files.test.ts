// Pending files: read by their path, and followed by the path of their upload.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached, type UploadSnapshot } from '../src/index.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { onEachStatement } from './support/statements.ts'
import { fresh, storageOn, text } from './support/storage.ts'
import { asking, web } from './support/web.ts'
import { testStorage } from '../src/testing/index.ts'

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached(), certificates: hasManyAttached() } }
const CHUNK = 512 * 1024

const attachedSoon = {
  User: { photo: hasOneAttached(), shouted: hasOneAttached({ variantInfo: { convert: 'png' } }) },
}
/** Makes other bytes, as a conversion does. */
const shouting = {
  name: 'shouting',
  async transform(_input: string, output: string) {
    await writeFile(output, 'A!')
    return { contentType: 'image/png', extension: 'png' }
  },
}

for (const kind of kinds) {
  test(`${kind.name}: any process serves a pending file, in parts too; later its path redirects`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const data = randomBytes(2 * CHUNK + 1000)
    const { photo } = app.storage.record('User', 1)
    const staged = await app.storage.stage({ io: data, filename: 'né a.bin' })
    const ask = asking(app.another())
    const bytes = async (
      path: string,
      range?: string,
    ): Promise<readonly [number, Buffer, string | null]> => {
      const response = await app.storage.handler(
        new Request(`http://x${path}`, { headers: range === undefined ? {} : { range } }),
      )
      return [
        response.status,
        Buffer.from(await response.arrayBuffer()),
        response.headers.get('content-range'),
      ]
    }
    assert.deepEqual(await bytes(staged.path()), [200, data, null])
    await photo.attachLater(staged)
    const [upload] = await photo.delayedUploads()
    const path = upload?.files[0]?.path() ?? assert.fail()
    for (const [start, end] of [
      [0, 0],
      [CHUNK - 1, CHUNK],
      [CHUNK, CHUNK * 2 - 1],
      [10, CHUNK * 2 + 5],
      [CHUNK * 2, data.length - 1],
      [0, data.length - 1],
    ] as const)
      assert.deepEqual(
        await bytes(path, `bytes=${start}-${end}`),
        [206, data.subarray(start, end + 1), `bytes ${start}-${end}/${data.length}`],
        `${start}-${end}`,
      )
    assert.deepEqual(await bytes(path, 'bytes=-7'), [
      206,
      data.subarray(-7),
      `bytes ${data.length - 7}-${data.length - 1}/${data.length}`,
    ])
    const head = await ask(path, { method: 'HEAD' })
    assert.deepEqual([head.status, head.headers.get('content-length')], [200, String(data.length)])
    assert.match(head.headers.get('content-disposition') ?? '', /^attachment; filename="ne a\.bin"/)
    assert.equal(
      (await ask(path, { headers: { 'if-none-match': head.headers.get('etag') ?? '' } })).status,
      304,
    )
    await app.storage.drain()
    for (const each of [path, staged.path()]) {
      const moved = await ask(each)
      assert.deepEqual([moved.status, moved.headers.get('cache-control')], [302, 'no-store'])
      const to = moved.headers.get('location') ?? ''
      assert.match(to, /\/blobs\/redirect\//)
      assert.deepEqual(await bytes((await ask(to)).headers.get('location') ?? ''), [
        200,
        data,
        null,
      ])
    }
    await photo.purge()
    assert.equal((await ask(path)).status, 404)
  })

  test(`${kind.name}: a pending file that is attached during the lookup is found`, async (t) => {
    const app = await fresh(t, kind, attachedSoon, { images: shouting })
    if (app === null) return
    // The worker attaches the file right before the reader's next statement of this kind.
    let before: RegExp | null = null
    const attachBefore = async (statement: string): Promise<void> => {
      if (before?.test(statement) !== true) return
      before = null
      await app.storage.drain({ throwOnError: true })
    }
    const database = app.made.another()
    onEachStatement(database, (sql, run) => attachBefore(sql).then(run))
    const { readChunks } = database
    if (readChunks !== undefined)
      Object.assign(database, {
        readChunks: async (...given: Parameters<typeof readChunks>) => (
          await attachBefore('chunks'),
          readChunks(...given)
        ),
      })
    const reader = storageOn(database, attachedSoon, app.service, { images: shouting })
    t.after(() => reader.close())
    for (const name of ['photo', 'shouted'] as const)
      for (const statement of [/^select .*delayed_uploads/, /chunks/]) {
        await app.storage.record('User', 1)[name].attachLater(text('a'))
        const [upload] = await app.storage.record('User', 1)[name].delayedUploads()
        before = statement
        const answer = await asking(reader)(upload?.files[0]?.path() ?? assert.fail())
        // Bytes that are stored as they were staged are read on where they went.
        const isRead = name === 'photo' && statement.test('chunks')
        assert.deepEqual(
          [answer.status, answer.text, before],
          isRead ? [200, 'a', null] : [302, '', null],
          `${name}, ${statement}`,
        )
      }
  })

  test(`${kind.name}: discarded and never submitted files are no longer visible`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const ask = asking(app.storage)
    const upload = await app.storage.record('User', 1).photo.attachLater(text('x'))
    const path = upload?.files[0]?.path() ?? assert.fail()
    await upload?.discard()
    const staged = await app.storage.stage(text('y'))
    const forgotten = await app.storage.stage(text('z'))
    await staged.discard()
    await app.made.database.executor.run(
      "update activestorage_delayed_files set expires_at = 1 where state = 'staged'",
      [],
    )
    for (const each of [path, staged.path(), forgotten.path()]) {
      const answer = await ask(each)
      assert.deepEqual([answer.status, answer.headers.get('cache-control')], [404, 'no-store'])
    }
  })

  test(`${kind.name}: the stream of an upload reports every change, and ends with it`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const { photo, certificates } = app.storage.record('User', 1)
    const upload = (await photo.attachLater(text('first', 'né.txt'))) ?? assert.fail()
    const stream = follow(app.another(), upload.path())
    const first = await stream.until('pending')
    assert.deepEqual(
      [first.attempts, first.files[0]?.filename, first.files[0]?.state],
      [0, 'né.txt', 'staged'],
    )
    app.service.failures = 1
    app.service.final = true
    await app.storage.drain()
    const failed = await stream.until('failed')
    assert.deepEqual([failed.files[0]?.state, failed.runAt], ['failed', null])
    for (const each of [failed, failed.files[0]])
      assert.match(each?.lastError ?? '', /^né\.txt could not be stored\. .* Reference: \w{8}\.$/)
    const gate = Promise.withResolvers<void>()
    app.service.gate = gate.promise
    await (await app.storage.delayedUploads.find(upload.id))?.retry()
    await stream.until('pending')
    const draining = app.storage.drain()
    const running = await stream.until('running')
    assert.deepEqual([running.attempts, running.files[0]?.state], [1, 'uploading'])
    gate.resolve()
    await draining
    const attached = await stream.until('attached')
    assert.match(attached.files[0]?.path ?? '', /\/blobs\/redirect\//)
    assert.equal((await asking(app.storage)(attached.files[0]?.path ?? '')).status, 302)
    await stream.ended
    // A later request gets the same state, and a browser that reconnects is told to stop.
    const ask = asking(app.storage)
    assert.equal((await ask(upload.path())).json()['state'], 'attached')
    const over = await ask(upload.path(), {
      headers: { accept: 'text/event-stream', 'last-event-id': stream.lastId() },
    })
    assert.deepEqual([over.status, over.text], [204, ''])

    const older = (await photo.attachLater(text('older'))) ?? assert.fail()
    const superseded = follow(app.storage, older.path())
    await superseded.until('pending')
    await photo.attach(text('newer'))
    assert.equal((await superseded.until('superseded')).files[0]?.path, null)
    await superseded.ended
    const unwanted = (await certificates.attachLater(text('unwanted'))) ?? assert.fail()
    const discarded = follow(app.storage, unwanted.path())
    await discarded.until('pending')
    await unwanted.discard()
    await discarded.until('discarded')
    await discarded.ended
  })
}

/** Reads a stream of events as a browser does. */
function follow(
  storage: { handler(request: Request): Promise<Response> },
  path: string,
  lastEventId?: string,
) {
  const seen: UploadSnapshot[] = []
  let lastId = ''
  let more = Promise.withResolvers<void>()
  const ended = (async () => {
    const headers = {
      accept: 'text/event-stream',
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    }
    const response = await storage.handler(new Request(`http://x${path}`, { headers }))
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    let rest = ''
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream() as never) ?? []) {
      rest += String(chunk)
      for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
        const [, id, data] = /^id: (.+)\ndata: (.+)$/.exec(rest.slice(0, end)) ?? []
        rest = rest.slice(end + 2)
        if (id === undefined || data === undefined) continue
        lastId = id
        seen.push(JSON.parse(data) as UploadSnapshot)
        more.resolve()
      }
    }
    more.resolve()
  })()
  return {
    ended,
    lastId: () => lastId,
    /** The next snapshot in this state. */
    async until(state: UploadSnapshot['state']): Promise<UploadSnapshot> {
      for (;;) {
        const next = seen.shift()
        if (next?.state === state) return next
        if (next !== undefined) continue
        more = Promise.withResolvers<void>()
        const isOver = await Promise.race([more.promise.then(() => false), ended.then(() => true)])
        if (isOver && seen.length === 0) assert.fail(`the stream ended before '${state}'`)
      }
    },
  }
}

test('one database query feeds all streams, and a client gets each state once', async (t) => {
  const { storage, user, database } = await web(t)
  const upload = (await user.photo.attachLater(text('x'))) ?? assert.fail()
  let statements = 0
  const run = database.executor.run.bind(database.executor)
  const streams = [
    follow(storage, upload.path()),
    follow(storage, upload.path()),
    follow(storage, upload.path()),
  ]
  await Promise.all(streams.map((stream) => stream.until('pending')))
  Object.assign(database.executor, {
    run: (...given: Parameters<typeof run>) => {
      statements += 1
      return run(...given)
    },
  })
  const id = streams[0]?.lastId() ?? ''
  const reconnected = follow(storage, upload.path(), id)
  await upload.discard()
  const before = statements
  await Promise.all(streams.map((stream) => stream.until('discarded')))
  // Uploads, files, blobs.
  assert.ok(statements - before <= 6, `${statements - before} statements`)
  assert.equal((await reconnected.until('discarded')).state, 'discarded')
})

test('a cancelled stream is removed; a closed storage ends all; an unknown upload is a 404', async (t) => {
  const { storage, user, ask } = await web(t)
  const upload = (await user.photo.attachLater(text('x'))) ?? assert.fail()
  const events = { headers: { accept: 'text/event-stream' } }
  const left = await storage.handler(new Request(`http://x${upload.path()}`, events))
  await left.body?.cancel()
  // One that never reads holds one event, whatever happens.
  const idle = await storage.handler(new Request(`http://x${upload.path()}`, events))
  const open = follow(storage, upload.path())
  await open.until('pending')
  assert.equal((await ask(`${storage.basePath}/delayed_uploads/forged`, events)).status, 404)
  await storage.close()
  await open.ended
  await idle.body?.cancel()
})

test('a pending file that is attached while it is read is read to its end', async (t) => {
  const { storage, database } = await testStorage(models)
  t.after(() => storage.close())
  const bytes = Buffer.from(Array.from({ length: 3 * 1024 ** 2 }, (_, index) => index % 251))
  const upload = await storage.record('User', 1).photo.attachLater({ io: bytes, filename: 'a.bin' })
  const read = async (range?: readonly [number, number]): Promise<Buffer> => {
    const pieces: Uint8Array[] = []
    for await (const piece of upload?.files[0]?.stream(range === undefined ? {} : { range }) ??
      []) {
      if (pieces.push(piece) === 1) {
        await storage.drain({ throwOnError: true })
        assert.equal(
          database.prepare('select count(*) as n from activestorage_delayed_chunks').get()?.['n'],
          0,
        )
      }
    }
    return Buffer.concat(pieces)
  }
  assert.ok(bytes.equals(await read()))
  assert.ok(bytes.subarray(700_000, 2_500_001).equals(await read([700_000, 2_500_000])))
})
