import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, describe, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type Duration,
  type Logger,
} from '../src/index.ts'
import type { Database, Service } from '../src/adapters.ts'
import { memory } from '../src/services/memory.ts'
import { closeDatabases } from './support/databases.ts'
import {
  networkServers,
  openUrl,
  sqliteServer,
  type Server,
  type ServerKind,
} from './support/servers.ts'
import { testStorage } from '../src/testing/index.ts'
import { kinds } from './support/databases.ts'
import { fresh } from './support/storage.ts'

after(() => closeDatabases())

const MB = 1024 * 1024
const everywhere: readonly ServerKind[] = [sqliteServer, ...networkServers]

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

async function* pieces(
  count: number,
  at: (index: number) => unknown = () => undefined,
): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) {
    yield Buffer.alloc(MB, `${index}`)
    await at(index)
  }
}

for (const kind of everywhere)
  describe(`${kind.name}: a source that ends badly`, () => {
    test('a source that breaks off is an error with the name of the file, and leaves nothing', async (t) => {
      const app = await openApp(t, kind)
      if (app === null) return
      const source = Readable.from(
        pieces(4, (index) => {
          if (index === 2) throw new Error('connection reset')
        }),
      )
      await assert.rejects(
        app.storage.record('User', 1).photo.attachLater({ io: source, filename: 'cut.txt' }),
        /cut\.txt.*connection reset/,
      )
      assert.equal(source.destroyed, true)
      await app.storage.sweep()
      assert.deepEqual(
        [await app.count('chunks'), await app.count('files'), await app.count('uploads')],
        [0, 0, 0],
      )
    })

    test('a client that leaves between two pieces leaves nothing', async (t) => {
      const app = await openApp(t, kind)
      if (app === null) return
      const client = new AbortController()
      const source = Readable.from(
        pieces(4, (index) =>
          index === 2 ? client.abort(new Error('the client went away')) : undefined,
        ),
      )
      await assert.rejects(
        app.storage.stage({ io: source, filename: 'gone.txt' }, { signal: client.signal }),
        /went away/,
      )
      assert.equal(source.destroyed, true)
      await app.storage.sweep()
      assert.deepEqual([await app.count('chunks'), await app.count('files')], [0, 0])
    })
  })

test('a client that leaves while it sends nothing ends staging at once', async (t) => {
  const app = await openApp(t, sqliteServer)
  if (app === null) return
  const client = new AbortController()
  const silence = Promise.withResolvers<void>()
  const silent = pieces(2, () => {
    setImmediate(() => client.abort(new Error('the client went away')))
    return silence.promise
  })
  const staging = app.storage.stage({ io: silent, filename: 'gone.txt' }, { signal: client.signal })
  const late = delay(1000, 'still waiting', { ref: false })
  const outcome = await Promise.race([
    staging.then(
      () => 'staged',
      (error: unknown) => (error as Error).message,
    ),
    late,
  ])
  silence.resolve()
  await staging.catch(() => undefined)
  assert.match(outcome, /went away/)
})

test('a web stream that was partly read and released by its reader is refused', async (t) => {
  const { storage } = await testStorage({ User: { photo: hasOneAttached() } })
  t.after(() => storage.close())
  const { photo } = storage.record('User', 1)
  const whole = (): ReadableStream<Uint8Array> =>
    new Response('the whole file').body ?? assert.fail()
  for (const pieces of [1, Infinity]) {
    const stream = whole()
    const reader = stream.getReader()
    for (let read = 0; read < pieces && !(await reader.read()).done; read += 1);
    reader.releaseLock()
    assert.ok(!stream.locked && Readable.isDisturbed(stream as never))
    for (const how of ['attach', 'attachLater'] as const)
      await assert.rejects(photo[how]({ io: stream, filename: 'a.txt' } as never), {
        code: 'INVALID_INPUT',
      })
  }
  const upload = await photo.attachLater({ io: whole(), filename: 'a.txt' } as never)
  assert.equal(upload?.files[0]?.byteSize, 'the whole file'.length)
})

const sqliteKind = kinds.find((kind) => kind.name === 'SQLite')!
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

async function* yielding(pieces: readonly unknown[]): AsyncGenerator<never> {
  for (const piece of pieces) yield piece as never
}

test('a file that is missing or yields no bytes is an input error, now and later', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  const missing = { path: '/nowhere/at all.pdf' }
  const expected = {
    code: 'INVALID_INPUT',
    message: /at all\.pdf could not be read to its end: ENOENT/,
  }
  const words = { filename: 'words.txt', io: yielding(['text']) }
  await assert.rejects(photo.attachLater(missing), expected)
  await assert.rejects(photo.attach(missing), expected)
  await assert.rejects(app.storage.blobs.createAndUpload(missing), expected)
  await assert.rejects(photo.attach(words), {
    code: 'INVALID_INPUT',
    message: /words\.txt yields string, not bytes/,
  })
  await photo.attach(missing).catch((error: unknown) =>
    assert.deepEqual((error as { details: unknown }).details, {
      record: { type: 'User', id: '1' },
      attachment: 'photo',
      filename: 'at all.pdf',
    }),
  )
  assert.equal(app.service.uploads, 0)
})
