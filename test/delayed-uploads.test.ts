import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { hasManyAttached, hasOneAttached, type HookFile } from '../src/index.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { fresh, text } from './support/storage.ts'

after(() => closeDatabases())

const simple = { User: { photo: hasOneAttached(), certificates: hasManyAttached() } }
const names = (files: readonly { filename: string }[]): string[] =>
  files.map((file) => file.filename)
const code = (expected: string) => (error: unknown) =>
  (error as { code?: string }).code === expected

/** Uploads until nothing is due; retries are due after milliseconds here. */
async function drainAll(storage: { drain(): Promise<{ remaining: number }> }): Promise<void> {
  for (let round = 0; round < 50 && (await storage.drain()).remaining > 0; round += 1)
    await delay(5)
}

for (const kind of kinds)
  describe(kind.name, () => {
    test('a committed upload becomes one attachment, with its bytes', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage, service } = app
      await storage.transaction(async (tx) => {
        await storage
          .record('User', 1, { transaction: tx })
          .attachLater({ photo: text('hello', 'a.png'), certificates: [text('b'), text('c')] })
      })
      const user = storage.record('User', 1)
      assert.equal(await user.photo.attached(), false)
      assert.equal((await user.photo.latest())?.state, 'staged')
      assert.deepEqual(await storage.drain({ throwOnError: true }), {
        uploaded: 2,
        retried: 0,
        failed: 0,
        remaining: 0,
      })
      const photo = await user.photo.attachment()
      assert.equal(photo?.checksum, 'XUFAKrxLKna5cZ2REBfFkg==')
      assert.equal((await photo?.download())?.toString(), 'hello')
      assert.deepEqual(names(await user.certificates.attachments()), ['b.txt', 'c.txt'])
      assert.equal(service.objects.size, 3)
      assert.deepEqual(await user.photo.delayedUploads(), [])
      assert.equal((await storage.delayedUploads.stats()).stagedBytes, 0)
    })

    test('a rolled-back transaction leaves no upload, and nothing is sent', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage, service } = app
      const rollback = storage.transaction(async (tx) => {
        await storage.record('User', 1, { transaction: tx }).attachLater({ photo: text('x') })
        throw new Error('rolled back')
      })
      await assert.rejects(rollback, /rolled back/)
      await storage.drain()
      assert.deepEqual(await storage.delayedUploads.list(), [])
      assert.equal(service.uploads, 0)
    })

    test('an empty input is no upload; a missing required attachment rolls back', async (t) => {
      const app = await fresh(t, kind, {
        User: {
          photo: hasOneAttached({ required: true }),
          docs: hasManyAttached({ required: true }),
        },
      })
      if (app === null) return
      const { storage } = app
      const user = storage.record('User', 1)
      for (const blank of ['', null, undefined, new File([], '')])
        assert.equal(await user.photo.attachLater(blank), null)
      assert.equal(await user.docs.attachLater(['', null, undefined]), null)
      await assert.rejects(user.validate(), code('ATTACHMENT_REQUIRED'))
      await assert.rejects(
        storage.transaction((tx) =>
          storage.record('User', 1, { transaction: tx }).attachLater({ photo: text('only this') }),
        ),
        code('ATTACHMENT_REQUIRED'),
      )
      assert.deepEqual(await storage.delayedUploads.list(), [])
      await user.attachLater({ photo: text('p'), docs: text('d') })
      await user.validate()
    })

    test('the last of several uploads to a has-one wins, and the other objects are deleted', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage, service } = app
      const user = storage.record('User', 1)
      for (const name of ['a', 'b', 'c']) await user.photo.attachLater(text(name))
      await drainAll(storage)
      await storage.drain()
      assert.equal((await user.photo.attachment())?.filename, 'c.txt')
      assert.equal(service.objects.size, 1)
      await user.photo.attachLater(text('d'))
      await drainAll(storage)
      await storage.drain()
      assert.deepEqual(names(await user.photo.attachment().then((a) => (a === null ? [] : [a]))), [
        'd.txt',
      ])
      assert.equal(service.objects.size, 1)
    })

    test('a direct attach while an upload is pending wins', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage } = app
      const user = storage.record('User', 1)
      await user.photo.attachLater(text('older'))
      await user.photo.attach(text('newer'))
      await drainAll(storage)
      assert.equal((await user.photo.attachment())?.filename, 'newer.txt')
      await user.photo.attachLater(text('pending'))
      await user.photo.purge()
      await drainAll(storage)
      assert.equal(await user.photo.attachment(), null)
    })

    test('deletedIds take effect with the transaction, cleanBefore when the first new file is attached', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage, service } = app
      const { certificates } = storage.record('User', 1)
      await certificates.attach([text('a'), text('b'), text('c')])
      const [a] = await certificates.attachments()
      const stranger = (await storage.record('User', 2).certificates.attach(text('other')))[0]!
      const none = await certificates.attachLater({ deletedIds: [a!.id, stranger.id, '999999'] })
      assert.equal(none, null)
      assert.deepEqual(names(await certificates.attachments()), ['b.txt', 'c.txt'])
      assert.equal((await storage.record('User', 2).certificates.attachments()).length, 1)
      await assert.rejects(
        certificates.attachLater({ deletedIds: ['1 OR 1=1'] }),
        code('INVALID_INPUT'),
      )
      await certificates.attachLater({ files: [text('new'), text('new2')], cleanBefore: true })
      assert.deepEqual(names(await certificates.attachments()), ['b.txt', 'c.txt'])
      assert.deepEqual(names(await certificates.latest()), ['new.txt', 'new2.txt'])
      await drainAll(storage)
      await storage.drain()
      assert.deepEqual(names(await certificates.attachments()), ['new.txt', 'new2.txt'])
      assert.equal(service.objects.size, 3)
    })

    test('a failing service is tried again; each failed attempt is reported', async (t) => {
      const told: string[] = []
      const app = await fresh(t, kind, {
        User: {
          photo: hasOneAttached({
            errorUpload: (_user, error, file, { attempt, retryAt }) =>
              void told.push(`${error.code} ${file.filename} ${attempt} ${retryAt !== null}`),
            afterUpload: (_user, file: HookFile, { round }) =>
              void told.push(`after ${file.filename} ${file.attachment?.filename} ${round}`),
            afterUploadAll: (_user, { round }) => void told.push(`all ${round}`),
          }),
        },
      })
      if (app === null) return
      const { storage, service } = app
      service.failures = 2
      await storage.record('User', 1).photo.attachLater(text('x'))
      await drainAll(storage)
      assert.deepEqual(told, [
        'SERVICE x.txt 1 true',
        'SERVICE x.txt 2 true',
        'after x.txt x.txt 1',
        'all 1',
      ])
      assert.equal((await storage.delayedUploads.list()).length, 0)
    })

    test('a failed upload keeps its bytes until retry, which uploads only the failed files', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage, service } = app
      const { certificates } = storage.record('User', 1)
      service.failures = 1
      service.final = true
      await certificates.attachLater([text('a'), text('b')])
      await drainAll(storage)
      const [failed] = await certificates.delayedUploads()
      assert.equal(failed?.state, 'failed')
      assert.deepEqual(
        failed?.files.map((file) => file.state),
        ['failed', 'attached'],
      )
      assert.deepEqual(names(await certificates.attachments()), ['b.txt'])
      assert.equal((await failed.files[0]?.download())?.toString(), 'a')
      await failed.retry()
      await drainAll(storage)
      assert.deepEqual(names(await certificates.attachments()), ['b.txt', 'a.txt'])
      assert.equal((await storage.delayedUploads.list()).length, 0)
    })

    test('an upload fails after its last attempt; discard deletes the bytes', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage, service } = app
      service.failures = 100
      const upload = await storage.record('User', 1).photo.attachLater(text('x'))
      for (
        let round = 0;
        round < 20 && (await storage.delayedUploads.find(upload!.id))?.state !== 'failed';
        round += 1
      ) {
        await storage.drain()
        await delay(5)
      }
      const failed = await storage.delayedUploads.find(upload!.id)
      assert.equal(failed?.attempts, 3)
      assert.match(failed?.lastError ?? '', /service is down/)
      await failed?.discard()
      assert.equal(await storage.delayedUploads.find(upload!.id), null)
      await storage.sweep()
      assert.equal((await storage.delayedUploads.stats()).stagedBytes, 0)
    })

    test('a staged file is linked once: again in its lane changes nothing, in another is an error', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage } = app
      const staged = await storage.stage(text('x'))
      const { photo } = storage.record('User', 1)
      const first = await photo.attachLater(staged.signedId)
      const second = await photo.attachLater(staged)
      assert.equal(second?.id, first?.id)
      await assert.rejects(
        storage.record('User', 2).photo.attachLater(staged),
        code('STAGED_FILE_ALREADY_USED'),
      )
      await drainAll(storage)
      await photo.attachLater(staged)
      await assert.rejects(
        storage.record('User', 2).photo.attachLater(staged),
        code('STAGED_FILE_ALREADY_USED'),
      )
      await drainAll(storage)
      assert.equal((await photo.attachment())?.filename, 'x.txt')
      const dropped = await storage.stage(text('y'))
      await dropped.discard()
      await assert.rejects(photo.attachLater(dropped), code('STAGED_FILE_EXPIRED'))
      const forged = staged.signedId.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
      await assert.rejects(photo.attachLater(forged), code('INVALID_SIGNATURE'))
      assert.equal((await photo.attachment())?.filename, 'x.txt')
    })

    test('a limit ends the stream at once, and nothing is left', async (t) => {
      const app = await fresh(t, kind, {
        User: {
          photo: hasOneAttached({ maxSize: '1 MB', accept: ['text/plain'] }),
          docs: hasManyAttached({ maxFiles: 2 }),
        },
      })
      if (app === null) return
      const { storage } = app
      let pulled = 0
      const endless = async function* (): AsyncGenerator<Uint8Array> {
        for (;;) {
          pulled += 1
          yield new Uint8Array(256 * 1024)
        }
      }
      const { photo, docs } = storage.record('User', 1)
      await assert.rejects(
        photo.attachLater({ io: endless(), filename: 'big.txt' }),
        code('FILE_TOO_LARGE'),
      )
      assert.ok(pulled <= 6)
      await assert.rejects(
        photo.attachLater(new File(['<svg onload="x">'], 'a.txt')),
        code('FILE_TYPE_NOT_ACCEPTED'),
      )
      const [small, page] = [
        await storage.stage(new File(['<html>'], 'a.txt'), { for: 'User.docs' }),
        await storage.stage(new File([new Uint8Array(2 << 20)], 'a.txt')),
      ]
      await assert.rejects(
        photo.attachLater(small),
        code('FILE_TYPE_NOT_ACCEPTED'),
        'staged for another attachment',
      )
      await assert.rejects(
        photo.attachLater(page.signedId),
        code('FILE_TOO_LARGE'),
        'staged without limits',
      )
      await assert.rejects(
        docs.attachLater([text('a'), text('b'), text('c')]),
        code('TOO_MANY_FILES'),
      )
      await docs.attachLater([text('a'), text('b')])
      await assert.rejects(docs.attachLater(text('c')), {
        code: 'TOO_MANY_FILES',
        publicMessage:
          'With the 2 already here these are 3 files; 2 at most are accepted. Choose fewer.',
      })
      assert.equal((await storage.delayedUploads.list()).length, 1)
    })

    test('hostile and non-Latin names stay safe, unique and readable', async (t) => {
      const app = await fresh(t, kind, {
        User: {
          photo: hasOneAttached({ useFilename: (_user: unknown, name) => `../../${name}` }),
          docs: hasManyAttached({
            useFilename: true,
            keyPrefix: (user) => `tenant/${(user as { id: string }).id}`,
          }),
        },
      })
      if (app === null) return
      const { storage, service } = app
      const user = storage.record('User', 1)
      await user.photo.attachLater(text('x', '../etc/passwd'))
      await user.docs.attachLater([
        text('1', '履歴書.pdf'),
        text('2', '履歴書.pdf'),
        text('3', `${'n'.repeat(300)}.txt`),
        text('4', 'a\0b.txt'),
      ])
      await drainAll(storage)
      await user.photo.attachLater(text('y', '../etc/passwd'))
      await drainAll(storage)
      await storage.drain()
      const keys = [...service.objects.keys()]
      assert.equal(keys.length, 5)
      assert.ok(keys.every((key) => !key.includes('..') && !key.startsWith('/')))
      assert.equal(
        keys.filter((key) => /^tenant\/1\/1-[0-9a-f-]{36}-.*履歴書-\d+\.pdf$/.test(key)).length,
        2,
      )
    })

    test('ten workers on one has-many keep all files', async (t) => {
      const app = await fresh(t, kind, simple)
      if (app === null) return
      const { storage, service } = app
      const expected = Array.from({ length: 20 }, (_, index) => `f${index}.txt`)
      for (const name of expected)
        await storage.record('User', 1).certificates.attachLater(text(name, name))
      const workers = Array.from({ length: 10 }, () => app.another())
      await Promise.all(workers.map(async (worker) => drainAll(worker)))
      await drainAll(storage)
      assert.deepEqual(names(await storage.record('User', 1).certificates.attachments()), expected)
      assert.equal(service.objects.size, 20)
    })

    test('a commit wakes a worker, and the worker stops gracefully', async (t) => {
      const uploaded = Promise.withResolvers<void>()
      const app = await fresh(t, kind, {
        User: { photo: hasOneAttached({ afterUploadAll: () => uploaded.resolve() }) },
      })
      if (app === null) return
      const worker = app.storage.work({ concurrency: 2 })
      await app.storage.record('User', 1).photo.attachLater(text('x'))
      await uploaded.promise
      await worker.stop()
      assert.equal(await app.storage.record('User', 1).photo.attached(), true)
    })
  })

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

for (const kind of kinds) {
  if (kind.name !== 'SQLite')
    test(`${kind.name}: attachLater is refused if the rows for locks are missing`, async (t) => {
      const app = await fresh(t, kind, models)
      if (app === null) return
      await app.storage.transaction((tx) =>
        app.made.execute(tx, 'delete from activestorage_delayed_locks'),
      )
      await assert.rejects(app.storage.record('User', 1).photo.attachLater(text('a')), {
        code: 'CONFIGURATION',
        message: /migrate/,
      })
    })
}
