import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { closeServers } from './support/races.ts'
import { storageOn, switchable } from './support/storage.ts'

after(async () => {
  await closeServers()
  await closeDatabases()
})

const models = { User: { photo: hasOneAttached(), certificates: hasManyAttached() } }

test('a transfer continues although its progress cannot be written', async (t) => {
  const made = (await kinds[0]?.create()) ?? assert.fail()
  let failures = 0
  const database: Database<never> = {
    ...made.database,
    executor: {
      run(sql, parameters) {
        if (!/set "uploaded_bytes" = \? where/.test(sql))
          return made.database.executor.run(sql, parameters)
        failures += 1
        return Promise.reject(new Error('The connection is gone.'))
      },
    },
  }
  const service = switchable()
  const storage = storageOn(database, models, {
    ...service,
    // Each piece takes a second, by this process's clock.
    upload: (key, body, options) =>
      service.upload(
        key,
        (async function* () {
          for await (const piece of body) {
            ahead += 1000
            yield piece
          }
        })(),
        options,
      ),
  })
  let ahead = 0
  const real = performance.now.bind(performance)
  t.mock.method(performance, 'now', () => real() + ahead)
  t.after(async () => {
    await storage.close()
    await made.close()
  })
  await storage.migrate()
  await storage
    .record('User', 1)
    .photo.attachLater({ io: new Uint8Array(3 * 1024 ** 2), filename: 'large.bin' } as never)
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
  assert.ok(failures > 2)
  assert.equal(service.uploads, 1)
})
