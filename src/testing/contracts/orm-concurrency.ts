import assert from 'node:assert/strict'
import type { OrmBehaviour } from './orm-app.ts'

const RECORD_COUNT = 20

/** Behaviours of concurrent requests on a database with one writer. */
export function testConcurrency<Tx>(on: OrmBehaviour<Tx>): void {
  on('twenty records that are created at once each get one file', async ({ app, storage }) => {
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
    const uploads = (await storage.records('User', ids)).map((user) => user.photo.delayedUploads())
    assert.deepEqual(
      (await Promise.all(uploads)).map((all) =>
        all.flatMap(({ files }) => files.map(({ filename }) => filename)),
      ),
      names.map((name) => [`${name}.bin`]),
    )
  })
}
