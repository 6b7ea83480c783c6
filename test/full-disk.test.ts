import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, test, type TestContext } from 'node:test'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type Duration,
  type Logger,
} from '../src/index.ts'
import type { Database, Service } from '../src/adapters.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { disk } from '../src/services/disk.ts'
import { memory } from '../src/services/memory.ts'
import { closeDatabases } from './support/databases.ts'
import { openUrl, sqliteServer, type Server, type ServerKind } from './support/servers.ts'
import { noSpace, tinyDisk } from './support/tiny-disk.ts'

after(() => closeDatabases())

const MB = 1024 * 1024

interface Heard {
  readonly level: string
  readonly message: string
}

/** What tests need besides a default storage. */
interface Given {
  readonly service?: Service
  readonly onLog?: (heard: Heard) => void
  readonly errorUpload?: (error: Error & { details?: { filename?: string } }) => void
  readonly afterUploadAll?: () => void
  /** Before the next attempt. Default 1 ms. */
  readonly delay?: Duration
}

function storageOn(
  database: Database<never>,
  { service = memory(), onLog, errorUpload, afterUploadAll, delay: minDelay = '1ms' }: Given = {},
) {
  const hear = (level: string) => (message: string) => onLog?.({ level, message })
  const logger: Logger = {
    debug: hear('debug'),
    info: hear('info'),
    warn: hear('warn'),
    error: hear('error'),
  }
  const hooks = {
    ...(errorUpload === undefined
      ? {}
      : { errorUpload: (_: unknown, error: Error) => errorUpload(error) }),
    ...(afterUploadAll === undefined ? {} : { afterUploadAll }),
  }
  return createActiveStorage({
    database,
    services: { test: service },
    secretKeyBase: 'a secret of the tests',
    retries: { attempts: 50, minDelay, maxDelay: minDelay },
    logger,
    images: {
      name: 'none',
      transform: () => Promise.reject(new Error('The other process transforms.')),
    },
    models: {
      User: {
        photo: hasOneAttached(hooks),
        docs: hasManyAttached(hooks),
        avatar: hasOneAttached({ variantInfo: { resizeToLimit: [10, 10] } }),
      },
    },
  })
}

interface App {
  readonly server: Server
  readonly folder: string
  readonly storage: ReturnType<typeof storageOn>
  run(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]>
  count(table: string): Promise<number>
}

async function openApp(
  t: TestContext,
  kind: ServerKind,
  given?: Given | ((server: Server) => Given),
): Promise<App | null> {
  const server = await kind.create()
  if (server === null) {
    t.skip(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
    return null
  }
  const folder = await mkdtemp(join(tmpdir(), 'asd-disaster-'))
  const database = openUrl(server.url)
  const storage = storageOn(database, typeof given === 'function' ? given(server) : given)
  t.after(async () => {
    await storage.close()
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })
  await storage.migrate()
  const run = async (sql: string) => (await database.executor.run(sql, [])).rows
  return {
    server,
    folder,
    storage,
    run,
    count: async (table) =>
      Number(
        (
          await run(
            `select count(*) as n from ${table.startsWith('active_storage_') ? table : `activestorage_delayed_${table}`}`,
          )
        )[0]?.['n'],
      ),
  }
}

/** As if the dead worker's minute, and every delay, were over. */
const endLeases = ({ run }: Pick<App, 'run'>) =>
  run('update activestorage_delayed_uploads set lease_until = 0, run_at = 0')

/** As if the quarter of an hour that an unfinished file is kept were over. */
const expire = ({ run }: Pick<App, 'run'>) =>
  run('update activestorage_delayed_files set expires_at = 0 where upload_token is null')

/** Uploads until nothing is left, whoever has to be helped out of a lease. */
async function finish(app: App): Promise<void> {
  for (let round = 0; round < 30; round += 1) {
    const { remaining } = await app.storage.drain()
    if (remaining === 0) return
    await endLeases(app)
  }
  assert.fail('Uploads are left.')
}

async function* pieces(
  count: number,
  at: (index: number) => unknown = () => undefined,
): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) {
    yield Buffer.alloc(MB, `${index}`)
    await at(index)
  }
}

/** Every object that a disk service shows, and everything that it hides. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isFile() && entry.name !== 'ballast')
    .map((entry) => entry.name)
}

describe('a full disk', () => {
  test('a full service leaves nothing partial, and the upload is retried and arrives', async (t) => {
    const tiny = await tinyDisk(4)
    const folder = tiny?.folder ?? (await mkdtemp(join(tmpdir(), 'asd-disaster-')))
    const files = disk({ root: folder })
    let full = true
    // Where no disk can be mounted, the write fails inside the disk service all the same.
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
    const heard: Heard[] = []
    const app = await openApp(t, sqliteServer, {
      service,
      delay: '1h',
      errorUpload: (error) => void errors.push(error),
      onLog: (each) => heard.push(each),
    })
    t.after(() => tiny?.close() ?? rm(folder, { recursive: true, force: true }))
    if (app === null) return
    const { photo } = app.storage.record('User', 1)
    await tiny?.fill(2.5 * MB)
    await photo.attachLater({ io: pieces(2), filename: 'report.txt' })
    assert.deepEqual(await app.storage.drain(), {
      uploaded: 0,
      retried: 1,
      failed: 0,
      remaining: 1,
    })
    assert.deepEqual(await filesIn(folder), [])
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
    assert.equal((await filesIn(folder)).length, 1)
  })

  test('a full SQLite disk while staging leaves nothing partial, and works again later', async (t) => {
    const tiny = await tinyDisk(12)
    const folder = tiny?.folder ?? (await mkdtemp(join(tmpdir(), 'asd-disaster-')))
    const handle = new DatabaseSync(join(folder, 'app.db'))
    handle.exec('pragma journal_mode = wal')
    const database = sqlite(handle) as unknown as Database<never>
    const storage = storageOn(database)
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
    await assert.rejects(photo.attachLater({ io: pieces(16), filename: 'large.txt' }), /full/)
    assert.deepEqual(await photo.delayedUploads(), [])
    assert.equal((await storage.delayedUploads.stats()).pending, 0)
    if (tiny === null) handle.exec('pragma max_page_count = 100000')
    else await tiny.free()
    await photo.attachLater({ io: pieces(2), filename: 'small.txt' })
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
