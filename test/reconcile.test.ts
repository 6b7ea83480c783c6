// Reconcile removes the files of records that were deleted without hooks.
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { text } from './support/storage.ts'

after(() => closeDatabases())

for (const kind of kinds)
  describe(`reconcile on ${kind.name}`, () => {
    test('deleted records lose their files; other records, and other apps’ models, keep theirs', async (t) => {
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why}`)
      const service = memory()
      const users = new Set(Array.from({ length: 230 }, (_, index) => String(index + 1)))
      let asked = 0
      const options = {
        database: made.database,
        services: { memory: service },
        secretKeyBase: 'a secret of the tests',
        logger: false,
      } as const
      const findUser = (id: string): Promise<object | null> => {
        asked += 1
        return asked === failAt
          ? Promise.reject(new Error('the lookup failed'))
          : Promise.resolve(users.has(id) ? { id } : null)
      }
      let failAt = -1
      const attachments = { photo: hasOneAttached(), certificates: hasManyAttached() }
      const storage = createActiveStorage({
        ...options,
        models: { User: attachments },
        findRecord: { User: findUser },
      })
      const theirs = createActiveStorage({
        ...options,
        models: { Post: { cover: hasOneAttached() } },
      })
      t.after(async () => {
        await theirs.close()
        await storage.close()
        await made.close()
      })
      await storage.migrate()
      const blob = await storage.blobs.createAndUpload(text('shared'))
      for (const id of users) await storage.record('User', id).photo.attach(blob.signedId)
      await storage.record('User', 2).certificates.attachLater(text('a'))
      await storage.record('User', 3).certificates.attachLater(text('b'))
      await theirs.record('Post', 2).cover.attachLater(text('c'))
      for (const id of ['2', '220', '230']) users.delete(id)
      users.add('3')

      assert.deepEqual(await storage.reconcile(), { removed: 0 }, 'an hour is left to what is new')
      assert.deepEqual(await storage.reconcile({ dryRun: true, olderThan: '0s' }), { removed: 3 })
      assert.equal((await storage.record('User', 2).certificates.delayedUploads()).length, 1)
      failAt = asked + 100
      await assert.rejects(storage.reconcile({ olderThan: '0s' }), {
        code: 'CONFIGURATION',
        message: /look up User \d+: the lookup failed/,
      })
      failAt = -1
      await storage.reconcile({ olderThan: '0s' })
      assert.deepEqual(await storage.reconcile({ olderThan: '0s' }), { removed: 0 })
      for (const id of ['2', '220', '230'])
        assert.equal(await storage.record('User', id).photo.attachment(), null)
      assert.equal((await storage.record('User', 2).certificates.delayedUploads()).length, 0)
      assert.equal((await storage.record('User', 3).certificates.delayedUploads()).length, 1)
      assert.equal((await storage.record('User', 229).photo.attachment())?.filename, 'shared.txt')
      assert.equal((await theirs.record('Post', 2).cover.delayedUploads()).length, 1)
      await assert.rejects(theirs.reconcile(), {
        code: 'CONFIGURATION',
        message: /findRecord\.Post/,
      })
    })

    test('a record that returns keeps its new files, also during the lookup; a dry run counts alike', async (t) => {
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why}`)
      let comesBack = false
      const storage = createActiveStorage({
        database: made.database,
        services: { memory: memory() },
        models: { User: { photo: hasOneAttached(), certificates: hasManyAttached() } },
        findRecord: {
          async User(id: string): Promise<null> {
            if (comesBack) await storage.record('User', id).certificates.attachLater(text('new'))
            return null
          },
        },
        secretKeyBase: 'a secret of the tests',
        logger: false,
      })
      t.after(async () => {
        await storage.close()
        await made.close()
      })
      await storage.migrate()
      await storage.record('User', 1).certificates.attachLater(text('old'))
      await storage.record('User', 2).photo.attach(text('old'))
      for (const table of ['active_storage_attachments', 'activestorage_delayed_uploads'])
        await made.database.executor.run(
          `update ${table} set created_at = '2020-01-01 00:00:00'`,
          [],
        )
      assert.deepEqual(await storage.reconcile({ dryRun: true }), { removed: 2 })
      await storage.record('User', 2).certificates.attachLater(text('new'))
      assert.deepEqual(await storage.reconcile({ dryRun: true }), { removed: 1 })
      comesBack = true
      assert.deepEqual(await storage.reconcile(), { removed: 0 })
      assert.equal((await storage.record('User', 1).certificates.delayedUploads()).length, 2)
      assert.equal((await storage.record('User', 2).photo.attachment())?.filename, 'old.txt')
    })
  })
