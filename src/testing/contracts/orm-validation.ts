import assert from 'node:assert/strict'
import { hasErrorCode } from './error-codes.ts'
import type { OrmBehaviour } from './orm-app.ts'
import { textFile } from './sample-files.ts'

/** Behaviours of files that an attachment's definition refuses. */
export function testValidation<Tx>(on: OrmBehaviour<Tx>): void {
  on(
    'a required file that is missing or blank refuses the record',
    async ({ app, storage, assertNothing }) => {
      for (const files of [{}, { badge: null }, { badge: '' }])
        await assert.rejects(
          app.create('Member', 'refused', files),
          hasErrorCode('ATTACHMENT_REQUIRED'),
        )
      assert.deepEqual(await app.names('Member'), [])
      await assertNothing()
      const id = await app.create('Member', 'Ada', { badge: textFile('badge') })
      await storage.drain({ throwOnError: true })
      assert.equal((await storage.record('Member', id).badge.attachment())?.filename, 'badge.txt')
      await app.save('Member', id, {})
    },
  )

  on(
    'files over their limits refuse the record and leave nothing behind',
    async ({ app, assertNothing }) => {
      await assert.rejects(
        app.create('User', 'big', {
          photo: { io: Buffer.alloc(1024 ** 2 + 1), filename: 'big.bin' },
        }),
        hasErrorCode('FILE_TOO_LARGE'),
      )
      await assert.rejects(
        app.create('User', 'many', {
          certificates: Array.from({ length: 6 }, (_, index) => textFile(`${index}`)),
        }),
        hasErrorCode('TOO_MANY_FILES'),
      )
      await assert.rejects(
        app.create('User', 'wrong', { certificates: { deletedIds: ['1; drop table users'] } }),
        hasErrorCode('INVALID_INPUT'),
      )
      assert.deepEqual(await app.names('User'), [])
      await assertNothing()
    },
  )
}
