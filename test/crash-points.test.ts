import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createActiveStorage, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { postgres } from '../src/database/postgres.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { disk } from '../src/services/disk.ts'
import { killPoints } from '../src/testing/index.ts'
import { postgresDatabase, closeDatabases } from './support/databases.ts'

after(() => closeDatabases())

const worker = join(import.meta.dirname, 'support', 'crashing-worker.ts')

/** Ends the leases of the dead worker. */
async function endLeases(database: Database<never>): Promise<void> {
  for (const table of ['uploads', 'jobs'])
    await database.executor.run(`update activestorage_delayed_${table} set lease_until = 0`, [])
}

for (const kind of ['SQLite', 'PostgreSQL'])
  for (const point of [...killPoints, 'in the middle of an upload'])
    test(`${kind}: a process killed at '${point}' loses nothing and repeats nothing`, async (t) => {
      const folder = await mkdtemp(join(tmpdir(), 'asd-crash-'))
      const server =
        kind === 'SQLite'
          ? { url: join(folder, 'app.db'), close: () => Promise.resolve() }
          : await postgresDatabase()
      if (server === null)
        return t.skip('PostgreSQL: no server answered and none could be brought up')
      const database = (kind === 'SQLite'
        ? sqlite(server.url)
        : postgres(server.url)) as unknown as Database<never>
      const told: string[] = []
      const storage = createActiveStorage({
        database,
        services: { test: disk({ root: join(folder, 'objects') }) },
        secretKeyBase: 'a secret of the tests',
        models: {
          User: {
            photo: hasOneAttached({ afterUpload: (_user, file) => void told.push(file.filename) }),
          },
        },
      })
      t.after(async () => {
        await storage.close()
        await server.close()
        await rm(folder, { recursive: true, force: true })
      })
      await storage.migrate()
      const bytes = Buffer.alloc(2 * 1024 * 1024, 'x')
      const { photo } = storage.record('User', 1)
      const deletes = point === 'deleting' || point === 'deleted'
      await (deletes
        ? photo.attach({ io: bytes, filename: 'a.txt' })
        : photo.attachLater({ io: bytes, filename: 'a.txt' }))
      const child = spawn(process.execPath, [worker, server.url, join(folder, 'objects'), point], {
        stdio: ['ignore', 'inherit', 'inherit'],
      })
      const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
      assert.equal(signal, 'SIGKILL')
      assert.equal(await photo.attached(), point === 'attached' || point === 'finished')
      await endLeases(database)
      await storage.drain({ throwOnError: true })
      const attachment = await photo.attachment()
      assert.equal(attachment === null, deletes)
      if (attachment !== null) assert.deepEqual(await attachment.download(), bytes)
      assert.deepEqual(told, deletes || point === 'finished' ? [] : ['a.txt'])
      assert.deepEqual(await storage.delayedUploads.list(), [])
      const objects = (
        await readdir(join(folder, 'objects'), { recursive: true, withFileTypes: true })
      ).filter((entry) => entry.isFile() && !entry.parentPath.endsWith('.tmp'))
      assert.deepEqual(
        objects.map((entry) => entry.name),
        attachment === null ? [] : [attachment.blob.key],
      )
    })

test('a worker that resumes after its lease ended changes nothing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'asd-zombie-'))
  const path = join(folder, 'app.db')
  const sending = Promise.withResolvers<void>()
  const asleep = Promise.withResolvers<void>()
  const files = disk({ root: join(folder, 'objects') })
  const models = { User: { photo: hasOneAttached() } }
  const options = { secretKeyBase: 'a secret of the tests', models, logger: false as const }
  const zombieDatabase = sqlite(path)
  const zombie = createActiveStorage({
    ...options,
    database: zombieDatabase,
    services: {
      test: {
        ...files,
        async upload(key, body, rest) {
          await files.upload(key, body, rest)
          sending.resolve()
          await asleep.promise
        },
      },
    },
  })
  const other = createActiveStorage({
    ...options,
    database: sqlite(path),
    services: { test: files },
  })
  t.after(async () => {
    await zombie.close()
    await other.close()
    await rm(folder, { recursive: true, force: true })
  })
  await zombie.migrate()
  await zombie.record('User', 1).photo.attachLater(new File(['x'], 'x.txt'))
  const run = zombie.drain()
  await sending.promise
  await endLeases(zombieDatabase as unknown as Database<never>)
  await other.drain({ throwOnError: true })
  const before = await other.record('User', 1).photo.attachment()
  assert.equal(before?.filename, 'x.txt')
  asleep.resolve()
  assert.equal((await run).uploaded, 0)
  assert.equal((await other.record('User', 1).photo.attachment())?.id, before.id)
  assert.equal((await before.download()).toString(), 'x')
})
