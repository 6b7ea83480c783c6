import assert from 'node:assert/strict'
import type { FaultyService } from '../faulty.ts'
import type { MemoryService } from '../../services/memory.ts'
import type { ActiveStorage } from '../../storage/active-storage.ts'
import type { OrmApp, OrmModels } from './orm-app.ts'

/** A storage on an app of the suite. */
export interface OpenedOrmApp<Tx> {
  readonly app: OrmApp<Tx>
  readonly storage: ActiveStorage<OrmModels, Tx>
  readonly service: FaultyService & MemoryService
}

const textFile = (content: string): { io: Buffer; filename: string } => ({
  io: Buffer.from(content),
  filename: `${content}.txt`,
})

/** What `photo = file` does when a record is saved, as far as all bindings do it alike. No worker runs. */
export function testDirectAttach<Tx>(
  on: (name: string, behaves: (opened: OpenedOrmApp<Tx>) => Promise<void>) => unknown,
): void {
  on(
    'a file that is assigned directly is attached when the save returns, without a worker, and the save holds no connection',
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

      // A service that fails: the record is saved, once, and the error says which.
      const bob = app.build('User', 'Bob', { photo: textFile('bob') })
      service.fail(1)
      const error = await bob.save().then(
        () => assert.fail('the save resolved'),
        (thrown: unknown) =>
          thrown as { code: string; retryable: boolean; details: { record: { id: string } } },
      )
      const { id } = error.details.record
      assert.deepEqual(
        { code: error.code, retryable: error.retryable, details: error.details },
        {
          code: 'ATTACH_PENDING',
          retryable: false,
          details: { record: { type: 'User', id }, attachment: 'photo', filename: 'bob.txt' },
        },
      )
      await bob.save()
      assert.deepEqual((await app.names('User')).toSorted(), ['Ada', 'Bob'])
      const { photo } = storage.record('User', id)
      assert.equal(await photo.attachment(), null)
      const [upload, another] = await photo.delayedUploads()
      assert.equal(another, undefined)
      await upload?.retry()
      await photo.whenAttached()
      assert.equal((await photo.attachment())?.filename, 'bob.txt')
      assert.equal(service.objects.size, 4)
    },
  )

  on(
    "the app's own commit waits for no service; the upload is begun right after it, and can be waited for",
    async (opened) => {
      const { app, storage, service } = opened
      const begun = new Promise<void>((resolve) => service.at('upload', () => resolve()))
      const release = service.hang()
      // Where nobody tells of commits, the storage's own transaction does.
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
        (error: Error) =>
          [error, error.cause].some(
            (each) => (each as { code?: string } | undefined)?.code === 'CONFIGURATION',
          ),
      )
    },
  )
}
