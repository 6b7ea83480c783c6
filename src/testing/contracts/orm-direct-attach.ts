import assert from 'node:assert/strict'
import { AttachPendingError } from '../../errors/errors.ts'
import { hasErrorCode } from './error-codes.ts'
import type { OrmBehaviour } from './orm-app.ts'
import { textFile } from './sample-files.ts'

/**
 * Behaviours of `photo = file` when a record is saved, as far as all bindings share them. No worker
 * runs.
 */
export function testDirectAttach<Tx>(on: OrmBehaviour<Tx>): void {
  testOwnTransaction(on)
  testAppTransaction(on)
}

/** Behaviours of a save that opens a transaction of its own. */
function testOwnTransaction<Tx>(on: OrmBehaviour<Tx>): void {
  on(
    'a file that is assigned directly is attached when the save returns: without a worker, and with no connection held meanwhile',
    async ({ app, storage, service }) => {
      const begun = new Promise<void>((resolve) => service.at('upload', () => resolve()))
      const release = service.hang()
      const saving = app
        .build('User', 'Ada', {
          photo: textFile('ada'),
          certificates: [textFile('one'), textFile('two')],
        })
        .save()
      await begun
      assert.deepEqual(await app.names('User'), ['Ada'])
      release()
      const user = storage.record('User', await saving)
      assert.equal((await user.photo.attachment())?.filename, 'ada.txt')
      assert.deepEqual(
        (await user.certificates.attachments()).map(({ filename }) => filename),
        ['one.txt', 'two.txt'],
      )
      assert.equal((await storage.delayedUploads.list()).length, 0)
    },
  )

  on(
    'a direct attach that fails leaves the record saved, and its error names the pending file',
    async ({ app, storage, service }) => {
      const bob = app.build('User', 'Bob', { photo: textFile('bob') })
      service.fail(1)
      const error: unknown = await bob.save().then(
        () => assert.fail('the save resolved'),
        (thrown: unknown) => thrown,
      )
      assert.ok(error instanceof AttachPendingError)
      const { id } = error.details.record ?? assert.fail('the error names no record')
      assert.deepEqual(
        { code: error.code, retryable: error.retryable, details: error.details },
        {
          code: 'ATTACH_PENDING',
          retryable: false,
          details: { record: { type: 'User', id }, attachment: 'photo', filename: 'bob.txt' },
        },
      )
      await bob.save()
      assert.deepEqual(await app.names('User'), ['Bob'])
      const { photo } = storage.record('User', id)
      assert.equal(await photo.attachment(), null)
      const [upload, another] = await photo.delayedUploads()
      assert.equal(another, undefined)
      await upload?.retry()
      await photo.whenAttached()
      assert.equal((await photo.attachment())?.filename, 'bob.txt')
      assert.equal(service.objects.size, 1)
    },
  )
}

/** Behaviours of a save in a transaction of the app. */
function testAppTransaction<Tx>(on: OrmBehaviour<Tx>): void {
  on(
    "the app's own commit waits for no service: the upload starts right after it and can be awaited",
    async (opened) => {
      const { app, storage, service } = opened
      const begun = new Promise<void>((resolve) => service.at('upload', () => resolve()))
      const release = service.hang()
      // A binding that is not notified of commits attaches after the storage's own transaction.
      const transaction =
        app.database.afterCommit === undefined
          ? storage.transaction.bind(storage)
          : app.transaction.bind(app)
      const id = await transaction((tx: Tx) =>
        app.build('User', 'Ada', { photo: textFile('ada') }).save(tx),
      )
      await begun
      const { photo } = storage.record('User', id)
      assert.equal(await photo.attachment(), null)
      const attached = photo.whenAttached()
      release()
      await attached
      assert.equal((await photo.attachment())?.filename, 'ada.txt')
      await assert.rejects(
        transaction(async (tx) => storage.record('User', id, { transaction: tx }).whenAttached()),
        hasErrorCode('CONFIGURATION'),
      )
    },
  )
}
