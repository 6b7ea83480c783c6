import assert from 'node:assert/strict'
import type { OrmBehaviour } from './orm-app.ts'
import { textFile } from './sample-files.ts'

/** Behaviours of reading many records with their attachments. */
export function testPreload<Tx>(on: OrmBehaviour<Tx>): void {
  on(
    'attachments are preloaded with their records in two statements, and read without any more',
    async ({ app, storage, statements }) => {
      const { load } = app
      if (load === undefined) return
      for (const name of ['Ada', 'Bob', 'Cleo'])
        await app.create('User', name, { photo: textFile(name) })
      await storage.drain({ throwOnError: true })
      await app.create('User', 'Dan', { certificates: [textFile('later')] })
      const before = statements()
      const users = await load.call(app)
      assert.ok(statements() - before <= 2, 'they are read in two statements')
      const read = statements()
      const all = await Promise.all(
        users.map(async ({ photo, certificates }) => [
          (await photo.attachment())?.filename,
          (await certificates.delayedUploads()).length,
        ]),
      )
      assert.deepEqual(all, [
        ['Ada.txt', 0],
        ['Bob.txt', 0],
        ['Cleo.txt', 0],
        [undefined, 1],
      ])
      assert.equal(statements(), read)
      await users[0]?.photo.attach(textFile('instead'))
      assert.equal((await users[0]?.photo.attachment())?.filename, 'instead.txt')
      await app.transaction(async (tx) => {
        const id = await app.create('User', 'Eve', { photo: textFile('on its way') }, tx)
        assert.equal(
          (await storage.record('User', id, { transaction: tx }).photo.delayedUploads()).length,
          1,
        )
        const loaded = await load.call(app, tx)
        assert.equal((await loaded.at(-1)?.photo.delayedUploads())?.length, 1)
      })
    },
  )
}
