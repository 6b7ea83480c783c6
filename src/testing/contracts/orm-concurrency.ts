import assert from 'node:assert/strict'
import type { OpenedOrmApp } from './orm-direct-attach.ts'

const RECORD_COUNT = 20

/** What many requests do at once, where there is one writer. */
export function testConcurrency<Tx>(
  on: (name: string, behaves: (opened: OpenedOrmApp<Tx>) => Promise<void>) => unknown,
): void {
  on(
    'twenty records that are created with files at once are all there, with one file each',
    async ({ app, storage }) => {
      const names = Array.from({ length: RECORD_COUNT }, (_, index) => `user ${index}`)
      const photo = (name: string) => ({
        io: Buffer.alloc(80 * 1024, name),
        filename: `${name}.bin`,
      })
      let calls = 0
      const inOwn = storage.transaction(async () => void (calls += 1))
      const ids = await Promise.all(
        names.map((name) => app.create('User', name, { photo: photo(name) })),
      )
      await inOwn
      assert.equal(calls, 1)
      assert.deepEqual((await app.names('User')).toSorted(), names.toSorted())
      const uploads = (await storage.records('User', ids)).map((user) =>
        user.photo.delayedUploads(),
      )
      assert.deepEqual(
        (await Promise.all(uploads)).map((all) =>
          all.flatMap(({ files }) => files.map(({ filename }) => filename)),
        ),
        names.map((name) => [`${name}.bin`]),
      )
    },
  )
}
