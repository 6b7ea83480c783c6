import assert from 'node:assert/strict'
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import { after, describe, test } from 'node:test'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { openStore } from '../src/database/store.ts'
import { createTableNames } from '../src/database/schema.ts'
import { Leases } from '../src/jobs/leases.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { fresh, retries, switchable, text } from './support/storage.ts'

after(() => closeDatabases())

const simple = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const code = (expected: string) => (error: unknown) =>
  (error as { code?: string }).code === expected

for (const kind of kinds)
  describe(kind.name, () => {
    const rowsOf = async (database: Database<never>, sql: string) =>
      (await database.executor.run(sql, [])).rows

    test('a worker has a row with its details while it lives, and deletes it when it stops', async (t) => {
      const uploaded = Promise.withResolvers<void>()
      const app = await fresh(t, kind, {
        User: { photo: hasOneAttached({ afterUploadAll: () => uploaded.resolve() }) },
      })
      if (app === null) return
      const worker = app.storage.work()
      await app.storage.record('User', 1).photo.attachLater(text('x'))
      await uploaded.promise
      const rows = await rowsOf(app.made.database, 'select * from activestorage_delayed_workers')
      assert.deepEqual(
        rows.map((row) => row['knows']),
        ['["User.photo"]'],
      )
      await worker.stop()
      assert.deepEqual(
        await rowsOf(app.made.database, 'select * from activestorage_delayed_workers'),
        [],
      )
    })

    test('a lease is renewed while it is held; losing it, or failing to renew it, aborts the work', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      await app.storage.record('User', 1).photo.attachLater(text('x'))
      const store = await openStore<never>(app.made.database, createTableNames(), 'bigint')
      const run = (sql: string) => app.made.database.executor.run(sql, [])
      // Not on a connection of its own, which the database would wait for when it closes.
      const shared = {
        ...store,
        database: { ...store.database, reserve: () => Promise.resolve(null) },
      }
      // With a lease of a minute no statement is too late, however slow the machine.
      const leases = new Leases(shared as never, {
        onError: (message, error) => assert.fail(`${message} ${String(error)}`),
      })
      t.after(() => leases.close())
      await run(`update activestorage_delayed_uploads set lease_token = 'mine', lease_until = 1`)
      const held = leases.hold('mine')
      await leases.renew()
      const [row] = await rowsOf(
        app.made.database,
        'select lease_until as t from activestorage_delayed_uploads',
      )
      assert.ok(Number(row?.['t']) > Date.now())
      assert.equal(held.signal.aborted, false)
      await run(`update activestorage_delayed_uploads set lease_token = 'theirs'`)
      await leases.renew()
      assert.match(String(held.signal.reason), /taken over/)

      const errors: unknown[] = []
      const unreachable = {
        ...shared,
        session: store.sessionOn({ run: () => Promise.reject(new Error('no connection')) }),
      }
      const others = new Leases(unreachable as never, {
        duration: 200,
        onError: (_, error) => errors.push(error),
      })
      t.after(() => others.close())
      const other = others.hold('theirs')
      await others.renew()
      if (!other.signal.aborted)
        await new Promise((resolve) => other.signal.addEventListener('abort', resolve))
      assert.match(String(other.signal.reason), /could not be renewed/)
      assert.ok(errors.length > 0)
    })

    test('records() reads the attached and pending files of many records in two statements', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      for (let id = 1; id <= 10; id += 1) {
        const user = app.storage.record('User', id)
        await user.docs.attach([text(`a${id}`), text(`b${id}`)])
        await user.photo.attachLater(text(`p${id}`))
      }
      const statements: string[] = []
      const { database } = app.made
      const counting: Database<never> = {
        ...database,
        executor: {
          run: (sql, parameters) => (statements.push(sql), database.executor.run(sql, parameters)),
        },
      }
      const storage = createActiveStorage({
        database: counting,
        services: { test: switchable() },
        models: simple,
        secretKeyBase: 's',
        retries,
        logger: false,
      })
      const users = await storage.records('User', [3, 1, 2, 1, 99])
      statements.length = 0
      const again = await storage.records('User', [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
      for (const user of again) {
        assert.deepEqual(
          (await user.docs.attachments()).map((file) => file.filename),
          [`a${user.id}.txt`, `b${user.id}.txt`],
        )
        assert.equal((await user.photo.latest())?.filename, `p${user.id}.txt`)
        assert.equal((await user.photo.delayedUploads()).length, 1)
        await user.validate()
      }
      assert.equal(statements.length, 2)
      assert.deepEqual(
        users.map((user) => user.id),
        ['3', '1', '2', '1', '99'],
      )
      assert.deepEqual(await users[4]!.docs.attachments(), [])
      await users[0]!.docs.purge()
      assert.deepEqual(
        await users[0]!.docs.attachments(),
        [],
        'a change is seen through the handle that made it',
      )
    })

    test('events are published on diagnostics channels', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const seen: string[] = []
      const uploads = tracingChannel<object>('activestorage-delayed:service_upload')
      const attempts = tracingChannel<object>('activestorage-delayed:delayed_upload')
      const handlers = {
        start: (message: object) =>
          void seen.push(`start ${(message as { service: string }).service}`),
        error: (message: object) =>
          void seen.push(`error ${(message as { error: Error }).error.message}`),
        end: () => undefined,
        asyncStart: () => undefined,
        asyncEnd: () => undefined,
      }
      const attempted = {
        ...handlers,
        start: (message: object) =>
          void seen.push(`attempt ${(message as { attempt: number }).attempt}`),
      }
      const superseded = (message: unknown): void =>
        void seen.push(`superseded ${(message as { attachment: string }).attachment}`)
      uploads.subscribe(handlers)
      attempts.subscribe(attempted)
      subscribe('activestorage-delayed:superseded', superseded)
      t.after(() => {
        uploads.unsubscribe(handlers)
        attempts.unsubscribe(attempted)
        unsubscribe('activestorage-delayed:superseded', superseded)
      })
      app.service.failures = 1
      app.service.final = true
      const { photo } = app.storage.record('User', 1)
      await photo.attachLater(text('a'))
      await app.storage.drain()
      await photo.attachLater(text('b'))
      await app.storage.drain()
      await photo.attachLater(text('c'))
      await photo.attach(text('d'))
      assert.deepEqual(seen, [
        'attempt 1',
        'start test',
        'error refused for good',
        'attempt 1',
        'start test',
        'superseded photo',
        'start test',
        'superseded photo',
      ])
    })

    test('blobs are created directly, found, and listed while unused; bytes give the type', async (t) => {
      const app = await fresh(t, kind, {
        User: { photo: hasOneAttached({ accept: ['image/*'] }), docs: hasManyAttached() },
      })
      if (app === null) return
      const { storage, made } = app
      const unattached = async (): Promise<string[]> => {
        const names: string[] = []
        for await (const blob of storage.blobs.unattached()) names.push(blob.filename)
        return names
      }
      const made1 = await storage.blobs.createAndUpload(text('one'))
      const liar = await storage.blobs.createAndUpload(new File(['<html><script>'], 'photo.png'))
      assert.deepEqual(await unattached(), ['one.txt', 'photo.png'])
      assert.equal((await storage.blobs.findSigned(made1.signedId))?.id, made1.id)
      assert.equal(await storage.blobs.findSigned(`${made1.signedId}0`), null)
      // Rails' direct upload leaves a blob with the browser's content type and the app's metadata.
      await storage.transaction((tx) =>
        made.execute(
          tx,
          `update active_storage_blobs set content_type = 'image/png', metadata = '{"custom":{"a":"b"}}' where id = ${liar.id}`,
        ),
      )
      const user = storage.record('User', 1)
      await assert.rejects(user.photo.attach(liar.signedId), code('FILE_TYPE_NOT_ACCEPTED'))
      await user.docs.attach(liar.signedId)
      const found = await storage.blobs.find(liar.id)
      assert.equal(found?.contentType, 'text/html')
      assert.deepEqual(found?.metadata, { custom: { a: 'b' }, identified: true })
      assert.deepEqual(await unattached(), ['one.txt'])
      await made1.purge()
      await storage.drain()
      assert.deepEqual(await unattached(), [])
      assert.equal(app.service.objects.size, 1)
    })
  })
