import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import type { JobEngine } from '../src/adapters.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { fresh, retries, storageOn, switchable, text } from './support/storage.ts'

after(() => closeDatabases())

const simple = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const names = (files: readonly { filename: string }[]): string[] =>
  files.map((file) => file.filename)
const code = (expected: string) => (error: unknown) =>
  (error as { code?: string }).code === expected

async function drainAll(storage: { drain(): Promise<{ remaining: number }> }): Promise<void> {
  for (let round = 0; round < 50 && (await storage.drain()).remaining > 0; round += 1)
    await delay(5)
}

for (const kind of kinds)
  describe(kind.name, () => {
    test('of two workers that claim one upload, one uploads it and the other goes on (X1–X3)', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const gate = Promise.withResolvers<void>()
      app.service.gate = gate.promise
      await app.storage.record('User', 1).docs.attachLater([text('a'), text('b')])
      const first = app.another().drain()
      while (app.service.uploads === 0) await delay(2)
      assert.deepEqual(await app.another().drain(), {
        uploaded: 0,
        retried: 0,
        failed: 0,
        remaining: 1,
      })
      gate.resolve()
      await first
      assert.deepEqual(names(await app.storage.record('User', 1).docs.attachments()), [
        'a.txt',
        'b.txt',
      ])
      assert.equal(app.service.uploads, 2)
    })

    test('an upload that waits for its retry is superseded by a newer one for good (X6)', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { photo, docs } = app.storage.record('User', 1)
      app.service.failures = 2
      await photo.attachLater(text('older'))
      await docs.attachLater(text('older'))
      await app.storage.drain()
      await photo.attachLater(text('younger'))
      await docs.attachLater({ files: [text('younger')], cleanBefore: true })
      await drainAll(app.storage)
      assert.equal((await photo.attachment())?.filename, 'younger.txt')
      assert.deepEqual(names(await docs.attachments()), ['younger.txt'])
      assert.deepEqual(await app.storage.delayedUploads.list(), [])
    })

    test('while the service is down the old files stay, and can be read (X8, X9)', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { photo, docs } = app.storage.record('User', 1)
      await photo.attach(text('old'))
      await docs.attach([text('a'), text('b')])
      app.service.failures = 100
      await photo.attachLater(text('new'))
      await docs.attachLater({ files: [text('c')], cleanBefore: true })
      await drainAll(app.storage)
      assert.equal((await (await photo.attachment())?.download())?.toString(), 'old')
      assert.deepEqual(
        await Promise.all(
          (await docs.attachments()).map(async (file) => (await file.download()).toString()),
        ),
        ['a', 'b'],
      )
      app.service.failures = 0
      for (const upload of await app.storage.delayedUploads.list({ state: 'failed' }))
        await upload.retry()
      await drainAll(app.storage)
      await app.storage.drain()
      assert.equal((await photo.attachment())?.filename, 'new.txt')
      assert.deepEqual(names(await docs.attachments()), ['c.txt'])
      assert.equal(app.service.objects.size, 2)
    })

    test('when the second of three files is retried, all three are attached once (X10)', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { upload } = app.service
      let calls = 0
      app.service.upload = async (...given) => {
        calls += 1
        if (calls === 2) throw new Error('the second one fails')
        return upload(...given)
      }
      const { docs } = app.storage.record('User', 1)
      await docs.attachLater([text('a'), text('b'), text('c')])
      await drainAll(app.storage)
      assert.deepEqual(names(await docs.attachments()).toSorted(), ['a.txt', 'b.txt', 'c.txt'])
      assert.equal(calls, 4)
    })

    test('a hook that throws undoes nothing, stops nothing, and runs again (X12–X14)', async (t) => {
      const told: string[] = []
      const once = new Set<string>()
      const throwing = (what: string): void => {
        told.push(what)
        if (once.has(what)) return
        once.add(what)
        throw new Error(`${what} throws`)
      }
      const app = await fresh(t, kind, {
        User: {
          docs: hasManyAttached({
            afterUpload: (_user, file) => throwing(`after ${file.filename}`),
            afterUploadAll: () => throwing('all'),
            errorUpload: (_user, _error, file) => throwing(`error ${file.filename}`),
          }),
        },
      })
      if (app === null) return
      app.service.failures = 1
      const { docs } = app.storage.record('User', 1)
      await docs.attachLater([text('a'), text('b')])
      await drainAll(app.storage)
      assert.deepEqual(names(await docs.attachments()), ['b.txt', 'a.txt'])
      for (let round = 0; round < 4; round += 1) {
        await app.made.database.executor.run(
          'update activestorage_delayed_uploads set run_at = 0',
          [],
        )
        await app.storage.drain()
      }
      assert.deepEqual(await docs.attachments().then(names), ['b.txt', 'a.txt'])
      for (const what of ['error a.txt', 'after a.txt', 'after b.txt', 'all'])
        assert.ok(told.includes(what), what)
      for (const what of ['after a.txt', 'after b.txt', 'all'])
        assert.equal(told.filter((each) => each === what).length, 2, what)
      assert.equal(app.service.uploads, 3)
      assert.deepEqual(
        (await app.made.database.executor.run('select id from activestorage_delayed_uploads', []))
          .rows,
        [],
      )
    })

    test('a queue that is down does not fail the save; the sweep enqueues later (X17)', async (t) => {
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why ?? ''}`)
      let down = true
      const hints: string[] = []
      const jobs: JobEngine = {
        name: 'a queue that is down',
        transactional: false,
        enqueue: (hint) =>
          down
            ? Promise.reject(new Error('no connection'))
            : Promise.resolve(void hints.push(hint.id)),
        work: () => Promise.resolve({ stop: () => Promise.resolve() }),
      }
      const storage = createActiveStorage({
        database: made.database,
        services: { test: switchable() },
        models: simple,
        secretKeyBase: 's',
        retries,
        logger: false,
        jobs,
      })
      t.after(async () => {
        await storage.close()
        await made.close()
      })
      await storage.migrate()
      const upload = await storage.record('User', 1).photo.attachLater(text('x'))
      await storage.sweep()
      assert.ok(!hints.includes(upload?.id ?? ''))
      down = false
      await storage.sweep()
      assert.ok(hints.includes(upload?.id ?? ''))
    })

    test('changes take any spelling of keys and ids as text; unknown keys are an error (X20, X23)', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { docs } = app.storage.record('User', 1)
      const [a, b, c] = await docs.attach([text('a'), text('b'), text('c')])
      const form = JSON.parse(
        JSON.stringify({ deleted_ids: ['', a!.id], clean_before: '0', files: [''] }),
      ) as object
      assert.equal(await docs.attachLater(form), null)
      await docs.attachLater({ deleted_ids: `${b!.id},${c!.id}` } as object)
      assert.deepEqual(await docs.attachments(), [])
      await assert.rejects(
        docs.attachLater({ files: [text('x')], deletd_ids: [1] } as object),
        (error) => code('INVALID_INPUT')(error) && /deletd_ids/.test(String(error)),
      )
      assert.deepEqual(await app.storage.delayedUploads.list(), [])
    })

    test('a repeated filename gets a new key each time (X27)', async (t) => {
      const app = await fresh(t, kind, {
        User: { photo: hasOneAttached({ useFilename: () => 'photo.png' }) },
      })
      if (app === null) return
      const { photo } = app.storage.record('User', 1)
      for (const content of ['one', 'two', 'three']) {
        await photo.attachLater(text(content))
        await drainAll(app.storage)
        assert.equal((await (await photo.attachment())?.download())?.toString(), content)
      }
      await app.storage.drain()
      assert.equal(app.service.objects.size, 1)
    })

    test('a pending file, or one that failed and is kept, counts as present (X31)', async (t) => {
      const app = await fresh(t, kind, { User: { photo: hasOneAttached({ required: true }) } })
      if (app === null) return
      const user = app.storage.record('User', 1)
      app.service.failures = 1
      app.service.final = true
      const upload = await user.photo.attachLater(text('x'))
      await user.validate()
      await app.storage.drain()
      assert.equal((await user.photo.delayedUploads())[0]?.state, 'failed')
      await user.validate()
      await upload?.discard()
      await assert.rejects(user.validate(), code('ATTACHMENT_REQUIRED'))
    })

    test('a missing record keeps its bytes for a manual retry; an unknown attachment waits (X33)', async (t) => {
      let found = false
      const finding = async (id: string) => (found ? { id, name: 'Ada' } : null)
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why ?? ''}`)
      const service = switchable()
      const told: string[] = []
      const models = {
        User: {
          photo: hasOneAttached({
            afterUpload: (user: { id: string; name: string }) => void told.push(user.name),
            errorUpload: () => void told.push('error'),
          }),
        },
      }
      const storage = createActiveStorage({
        database: made.database,
        services: { test: service },
        models,
        secretKeyBase: 's',
        retries,
        logger: false,
        findRecord: { User: finding },
      })
      const other = storageOn(made.database, { Post: { cover: hasOneAttached() } }, service)
      t.after(async () => {
        await storage.close()
        await made.close()
      })
      await storage.migrate()
      const upload = await storage.record('User', 1).photo.attachLater(text('x'))
      assert.equal((await other.drain()).remaining, 1)
      assert.equal((await storage.delayedUploads.find(upload!.id))?.state, 'pending')
      for (
        let round = 0;
        round < 20 && (await storage.delayedUploads.find(upload!.id))?.state !== 'failed';
        round += 1
      ) {
        await storage.drain()
        await delay(5)
      }
      const failed = await storage.delayedUploads.find(upload!.id)
      assert.match(failed?.lastError ?? '', /no User with id 1/)
      assert.equal((await failed?.files[0]?.download())?.toString(), 'x')
      found = true
      await failed?.retry()
      await storage.drain()
      assert.equal(await storage.record('User', 1).photo.attached(), true)
      assert.deepEqual(told, ['Ada'])
    })

    test('an attachment is visible only when its bytes are there (X34)', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const gate = Promise.withResolvers<void>()
      app.service.gate = gate.promise
      const { photo } = app.storage.record('User', 1)
      await photo.attachLater(text('x'))
      const worker = app.another().drain()
      while (app.service.uploads === 0) await delay(2)
      assert.equal(await photo.attached(), false)
      const latest = await photo.latest()
      assert.equal(latest?.state, 'uploading')
      assert.equal((await latest.download()).toString(), 'x')
      assert.deepEqual(
        (await app.made.database.executor.run('select id from active_storage_blobs', [])).rows,
        [],
      )
      gate.resolve()
      await worker
      assert.equal((await (await photo.attachment())?.download())?.toString(), 'x')
    })

    test('a value that is no file is an error with record, attachment and file (X37)', async (t) => {
      const app = await fresh(t, kind, {
        User: {
          photo: hasOneAttached({ maxSize: '10 KB', accept: ['text/*'] }),
          docs: hasManyAttached({ maxFiles: 1 }),
        },
      })
      if (app === null) return
      const { photo, docs } = app.storage.record('User', 7)
      const consumed = Readable.from([Buffer.from('x')])
      for await (const chunk of consumed) void chunk
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('x')
        throw new Error('the client went away')
      }
      const texts = async function* (): AsyncGenerator<unknown> {
        yield 'text'
      }
      const big = { io: Buffer.alloc(20_000, 'a'), filename: 'big.txt' }
      const bad: [() => Promise<unknown>, string, string?][] = [
        [
          () => photo.attachLater({ io: consumed, filename: 'consumed.txt' }),
          'INVALID_INPUT',
          'consumed.txt',
        ],
        [
          () => photo.attachLater({ io: broken(), filename: 'broken.txt' }),
          'INVALID_INPUT',
          'broken.txt',
        ],
        [
          () =>
            photo.attachLater({ io: texts() as AsyncIterable<Uint8Array>, filename: 'text.txt' }),
          'INVALID_INPUT',
          'text.txt',
        ],
        [() => photo.attachLater({ path: '/nowhere/missing.txt' }), 'INVALID_INPUT', 'missing.txt'],
        [() => photo.attachLater(big), 'FILE_TOO_LARGE', 'big.txt'],
        [() => photo.attach(big), 'FILE_TOO_LARGE', 'big.txt'],
        [
          () =>
            photo.attachLater(
              new File([Buffer.from('GIF89a      ')], 'a.txt', { type: 'text/plain' }),
            ),
          'FILE_TYPE_NOT_ACCEPTED',
          'a.txt',
        ],
        [() => photo.attachLater('/etc/passwd'), 'INVALID_INPUT'],
        [
          () => photo.attachLater('AAAA--0000000000000000000000000000000000000000'),
          'INVALID_SIGNATURE',
        ],
        [() => photo.attachLater(42 as never), 'INVALID_INPUT'],
        [() => photo.attachLater(Buffer.from('x') as never), 'INVALID_INPUT'],
        [() => photo.attachLater({ io: Buffer.from('x') } as never), 'INVALID_INPUT'],
        [() => docs.attachLater([text('a'), text('b')]), 'TOO_MANY_FILES'],
        [() => docs.attachLater({ deletedIds: ['x'] }), 'INVALID_INPUT'],
        [() => docs.attachLater({ cleanBefore: 'maybe' as never }), 'INVALID_INPUT'],
      ]
      for (const [run, expected, filename] of bad)
        await assert.rejects(run(), (error: unknown) => {
          const {
            code: got,
            details,
            statusCode,
          } = error as {
            code: string
            details: { record?: unknown; attachment?: string; filename?: string }
            statusCode: number
          }
          assert.equal(got, expected, String(error))
          assert.deepEqual(details.record, { type: 'User', id: '7' }, String(error))
          assert.ok(['photo', 'docs'].includes(details.attachment ?? ''), String(error))
          if (filename !== undefined) assert.equal(details.filename, filename, String(error))
          assert.ok(statusCode >= 400 && statusCode < 500, String(error))
          return true
        })
      await app.storage.sweep()
      for (const table of [
        'activestorage_delayed_uploads',
        'activestorage_delayed_files',
        'activestorage_delayed_chunks',
        'active_storage_blobs',
        'active_storage_attachments',
      ])
        assert.equal(
          Number(
            (await app.made.database.executor.run(`select count(*) as n from ${table}`, []))
              .rows[0]?.['n'],
          ),
          0,
          table,
        )
      assert.equal(app.service.objects.size, 0)
    })
  })

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

for (const kind of kinds) {
  test(`${kind.name}: a row of the gem without a record stops nothing`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const old =
      kind.name === 'SQLite' ? "'2020-01-01 00:00:00.000000'" : "timestamp '2020-01-01 00:00:00'"
    await app.storage.transaction((tx) =>
      app.made.execute(
        tx,
        `insert into activestorage_delayed_uploads (uploadable_type, uploadable_id, attr_name, created_at, updated_at) values ('User', null, 'photo', ${old}, ${old})`,
      ),
    )
    await app.storage.record('User', 1).photo.attachLater(text('a'))
    assert.equal((await app.storage.drain({ throwOnError: true })).uploaded, 1)
  })
}
