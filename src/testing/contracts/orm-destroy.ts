import assert from 'node:assert/strict'
import type { OrmBehaviour } from './orm-app.ts'
import { textFile } from './sample-files.ts'

const appError = new Error('the app gave up')

/** Behaviours of a record that is destroyed. */
export function testDestroy<Tx>(on: OrmBehaviour<Tx>): void {
  on(
    'a record that is destroyed loses its attachments and pending files in the same transaction',
    async ({ app, storage, service, assertNothing }) => {
      const id = await app.create('User', 'Ada', { photo: textFile('photo') })
      await storage.drain({ throwOnError: true })
      await app.save('User', id, { certificates: [textFile('on its way')] })
      await assert.rejects(
        app.transaction(async (tx) => {
          await app.destroy('User', id, tx)
          throw appError
        }),
        appError,
      )
      assert.deepEqual(await app.names('User'), ['Ada'])
      assert.equal((await storage.record('User', id).photo.attachment())?.filename, 'photo.txt')
      await app.destroy('User', id)
      assert.deepEqual(await app.names('User'), [])
      assert.equal(await storage.record('User', id).photo.attachment(), null)
      await storage.drain({ throwOnError: true })
      assert.equal(service.objects.size, 0)
      await assertNothing()
    },
  )
}
