import assert from 'node:assert/strict'
import type { OrmBehaviour } from './orm-app.ts'
import { textFile } from './sample-files.ts'

const appError = new Error('the app gave up')

/** Behaviours of transactions: the app's own, the storage's, and nested ones. */
export function testTransactions<Tx>(on: OrmBehaviour<Tx>): void {
  on(
    "the app's transaction: a rollback drops the files, a commit keeps them",
    async ({ app, storage, assertNothing }) => {
      await assert.rejects(
        app.transaction(async (tx) => {
          await app.create('User', 'Bob', { photo: textFile('b') }, tx)
          throw appError
        }),
        appError,
      )
      assert.deepEqual(await app.names('User'), [])
      await assertNothing()
      const id = await app.transaction((tx) =>
        app.create('User', 'Cleo', { photo: textFile('c') }, tx),
      )
      await storage.drain({ throwOnError: true })
      assert.equal((await storage.record('User', id).photo.attachment())?.filename, 'c.txt')
    },
  )

  on('storage.transaction rejects with the error that the app threw', async ({ storage }) => {
    const given = new Error('the app gave up', {
      cause: Object.assign(new Error('write EPIPE'), { code: 'EPIPE', errno: -32 }),
    })
    await assert.rejects(
      storage.transaction(() => Promise.reject(given)),
      (error) => error === given,
    )
  })

  on(
    'nested transactions: a savepoint that is rolled back drops its files, the others stay',
    async ({ app, storage }) => {
      const { nested } = app
      if (nested === undefined) return
      const id = await app.transaction(async (tx) => {
        const kept = await app.create('User', 'kept', { photo: textFile('kept') }, tx)
        await assert.rejects(
          nested.call(app, tx, async (inner: Tx) => {
            await app.create('User', 'undone', { photo: textFile('undone') }, inner)
            throw appError
          }),
          appError,
        )
        return kept
      })
      assert.deepEqual(await app.names('User'), ['kept'])
      assert.equal((await storage.delayedUploads.stats()).pending, 1)
      await storage.drain({ throwOnError: true })
      assert.equal((await storage.record('User', id).photo.attachment())?.filename, 'kept.txt')
    },
  )
}
