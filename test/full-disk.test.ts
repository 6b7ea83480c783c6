import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, test } from 'node:test'
import type { Database, Service } from '../src/adapters.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { disk } from '../src/services/disk.ts'
import { closeDatabases } from './support/databases.ts'
import { sqliteServer } from './support/servers.ts'
import { noSpace, tinyDisk } from './support/tiny-disk.ts'
import {
  MB,
  type LogEntry,
  createServerStorage,
  openServerApp,
  endLeases,
  expire,
  finish,
  generatePieces,
  listFiles,
} from './support/server-app.ts'

after(() => closeDatabases())

describe('a full disk', () => {
  test('a full service leaves nothing partial, and the upload is retried and arrives', async (t) => {
    const tiny = await tinyDisk(4)
    const folder = tiny?.folder ?? (await mkdtemp(join(tmpdir(), 'asd-disaster-')))
    const files = disk({ root: folder })
    let full = true
    // The write fails inside the disk service also if no disk can be mounted.
    const failing = async function* (body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        yield chunk
        if (full) throw noSpace()
      }
    }
    const service: Service = {
      ...files,
      upload: (key, body, options) =>
        files.upload(key, tiny === null ? failing(body) : body, options),
    }
    const errors: (Error & { details?: { filename?: string } })[] = []
    const heard: LogEntry[] = []
    const app = await openServerApp(t, sqliteServer, {
      service,
      delay: '1h',
      errorUpload: (error) => void errors.push(error),
      onLog: (each) => heard.push(each),
    })
    t.after(() => tiny?.close() ?? rm(folder, { recursive: true, force: true }))
    if (app === null) return
    const { photo } = app.storage.record('User', 1)
    await tiny?.fill(2.5 * MB)
    await photo.attachLater({ io: generatePieces(2), filename: 'report.txt' })
    assert.deepEqual(await app.storage.drain(), {
      uploaded: 0,
      retried: 1,
      failed: 0,
      remaining: 1,
    })
    assert.deepEqual(await listFiles(folder), [])
    assert.equal(await photo.attached(), false)
    const [upload] = await photo.delayedUploads()
    assert.equal(upload?.state, 'pending')
    assert.ok(upload.runAt.getTime() > Date.now() + 1_800_000)
    assert.match(upload.lastError ?? '', /disk is full/)
    assert.match(upload.files[0]?.lastError ?? '', /disk is full/)
    assert.equal(errors[0]?.details?.filename, 'report.txt')
    assert.ok(
      heard.some(
        ({ level, message }) => level === 'warn' && /report\.txt.*disk is full/i.test(message),
      ),
    )
    full = false
    await tiny?.free()
    await endLeases(app)
    await finish(app)
    assert.equal((await (await photo.attachment())?.download())?.length, 2 * MB)
    assert.equal((await listFiles(folder)).length, 1)
  })

  test('a full SQLite disk while staging leaves nothing partial, and works again later', async (t) => {
    const tiny = await tinyDisk(12)
    const folder = tiny?.folder ?? (await mkdtemp(join(tmpdir(), 'asd-disaster-')))
    const handle = new DatabaseSync(join(folder, 'app.db'))
    handle.exec('pragma journal_mode = wal')
    const database = sqlite(handle) as unknown as Database<never>
    const storage = createServerStorage(database)
    t.after(async () => {
      await storage.close()
      handle.close()
      await (tiny?.close() ?? rm(folder, { recursive: true, force: true }))
    })
    await storage.migrate()
    // SQLite says the same of its own limit as of a full disk.
    if (tiny === null) handle.exec('pragma max_page_count = 600')
    else await tiny.fill(8 * MB)
    const { photo } = storage.record('User', 1)
    await assert.rejects(
      photo.attachLater({ io: generatePieces(16), filename: 'large.txt' }),
      /full/,
    )
    assert.deepEqual(await photo.delayedUploads(), [])
    assert.equal((await storage.delayedUploads.stats()).pending, 0)
    if (tiny === null) handle.exec('pragma max_page_count = 100000')
    else await tiny.free()
    await photo.attachLater({ io: generatePieces(2), filename: 'small.txt' })
    assert.deepEqual(await storage.drain({ throwOnError: true }), {
      uploaded: 1,
      retried: 0,
      failed: 0,
      remaining: 0,
    })
    assert.equal((await (await photo.attachment())?.download())?.length, 2 * MB)
    const run = async (sql: string) => (await database.executor.run(sql, [])).rows
    await expire({ run })
    await storage.sweep()
    assert.deepEqual(await run('select count(*) as n from activestorage_delayed_chunks'), [
      { n: 0 },
    ])
    assert.deepEqual(
      await run(`select count(*) as n from activestorage_delayed_files where state = 'staging'`),
      [{ n: 0 }],
    )
    assert.deepEqual(await run('pragma integrity_check'), [{ integrity_check: 'ok' }])
  })
})
