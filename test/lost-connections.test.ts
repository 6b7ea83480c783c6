import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
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

after(() => closeDatabases())

const MB = 1024 * 1024
const script = join(import.meta.dirname, 'support', 'worker-process.ts')
const names = (files: readonly { filename: string }[]): string[] =>
  files.map((file) => file.filename).sort()

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

interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly lines: readonly string[]
}

/** Runs a worker of its own to its end. `onLine` hears what it says. */
async function inProcess(
  mode: string,
  url: string,
  root: string,
  onLine?: (line: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [script, mode, url, root], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: dirname(root) },
  })
  const lines: string[] = []
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const found = (rest + text).split('\n')
    rest = found.pop() ?? ''
    for (const line of found) {
      lines.push(line)
      onLine?.(line, (signal) => void child.kill(signal))
    }
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (code !== null && code !== 0) lines.push(errors)
  return { code, signal, lines }
}

for (const kind of networkServers)
  describe(`${kind.name} drops its connections`, { concurrency: 3 }, () => {
    test('during staging: acknowledged files are uploaded, the rest leaves nothing', async (t) => {
      const app = await openApp(t, kind)
      if (app === null) return
      const { storage, server } = app
      const { docs } = storage.record('User', 1)
      const acknowledged: string[] = []
      const submit = async (filename: string, at?: (index: number) => unknown): Promise<void> => {
        await docs.attachLater({ io: pieces(8, at), filename }).then(
          () => acknowledged.push(filename),
          () => undefined,
        )
      }
      // Waited for, the idle connections are gone; not waited for, those in the middle of an insert.
      await submit('between.txt', (index) => (index === 3 ? server.cut() : undefined))
      const cutting: Promise<number>[] = []
      await submit('during.txt', (index) => void (index === 3 && cutting.push(server.cut())))
      await Promise.all(cutting)
      // The pool may not have noticed yet, of each of its connections.
      while (!acknowledged.includes('after.txt')) await submit('after.txt')
      await finish(app)
      assert.deepEqual(names(await docs.attachments()), acknowledged.toSorted())
      for (const attachment of await docs.attachments()) assert.equal(attachment.byteSize, 8 * MB)
      await expire(app)
      await storage.sweep()
      assert.equal(await app.count('chunks'), 0)
    })

    test("during the user's transaction: it is rolled back as a whole, and the next one works", async (t) => {
      const app = await openApp(t, kind)
      if (app === null) return
      const { storage, server } = app
      const broken = storage.transaction(async (tx) => {
        await storage.record('User', 1, { transaction: tx }).docs.attachLater({
          io: pieces(4, (index) => (index === 1 ? server.cut() : undefined)),
          filename: 'a.txt',
        })
      })
      await assert.rejects(broken)
      assert.equal(await app.count('chunks'), 0)
      await storage.transaction(async (tx) => {
        await storage
          .record('User', 1, { transaction: tx })
          .docs.attachLater({ io: pieces(1), filename: 'b.txt' })
      })
      await finish(app)
      assert.deepEqual(names(await storage.record('User', 1).docs.attachments()), ['b.txt'])
    })

    test('during an upload: the file arrives once', async (t) => {
      const files = memory()
      let cuts = 0
      const app = await openApp(t, kind, ({ cut }) => ({
        service: {
          ...files,
          upload(key, body, options) {
            const cutting = async function* (): AsyncGenerator<Uint8Array> {
              const going: Promise<number>[] = []
              for await (const chunk of body) {
                yield chunk
                if (cuts === 0 && (cuts += 1) === 1) await cut()
                else if (cuts === 1 && (cuts += 1) === 2) going.push(cut())
              }
              await Promise.all(going)
            }
            return files.upload(key, cutting(), options)
          },
        },
      }))
      if (app === null) return
      const { photo } = app.storage.record('User', 1)
      await photo.attachLater({ io: pieces(20), filename: 'large.txt' })
      await app.storage.drain().catch(() => undefined)
      await endLeases(app)
      await finish(app)
      assert.equal(cuts, 2)
      assert.equal((await photo.attachment())?.byteSize, 20 * MB)
      assert.equal(files.objects.size, 1)
    })

    test('of a listening worker: it reconnects, and hears submissions of another process', async (t) => {
      let uploaded = Promise.withResolvers<void>()
      const app = await openApp(t, kind, { afterUploadAll: () => uploaded.resolve() })
      if (app === null) return
      const other = storageOn(openUrl(app.server.url))
      t.after(() => other.close())
      const worker = app.storage.work()
      await app.storage.record('User', 1).docs.attachLater({ io: pieces(1), filename: '0.txt' })
      await uploaded.promise
      assert.ok((await app.server.cut()) > 0)
      for (const filename of ['1.txt', '2.txt']) {
        uploaded = Promise.withResolvers()
        // The first of its calls may meet a connection that has ended; then nothing was acknowledged.
        const submit = () => other.record('User', 1).docs.attachLater({ io: pieces(1), filename })
        await submit().catch(submit)
        await uploaded.promise
      }
      await worker.stop()
      assert.deepEqual(names(await app.storage.record('User', 1).docs.attachments()), [
        '0.txt',
        '1.txt',
        '2.txt',
      ])
    })

    test('repeatedly, while a worker works: every acknowledged file arrives once', async (t) => {
      const files = memory()
      const app = await openApp(t, kind, { service: files })
      if (app === null) return
      const { storage, server } = app
      const worker = storage.work()
      const acknowledged: string[] = []
      let submitting = true
      const storm = (async () => {
        for (let round = 0; submitting && round < 100; round += 1) {
          await server.cut()
          await delay(Math.random() * 30)
        }
      })()
      for (let index = 0; index < 40; index += 1)
        await storage
          .record('User', index % 4)
          .docs.attachLater({ io: pieces(1), filename: `${index}.txt` })
          .then(
            (upload) => acknowledged.push(upload?.files[0]?.filename ?? ''),
            () => undefined,
          )
      submitting = false
      await storm
      const submitLast = () =>
        storage.record('User', 0).docs.attachLater({ io: pieces(1), filename: 'last.txt' })
      // Each connection of the pool may be one that was cut.
      for (let left = 12; ; left -= 1) {
        const error = await submitLast().then(
          () => null,
          (thrown: unknown) => thrown,
        )
        if (error === null) break
        if (left === 0) throw error
      }
      acknowledged.push('last.txt')
      await worker.stop({ timeout: '100ms' })
      await endLeases(app)
      await finish(app)
      const attached = await Promise.all(
        [0, 1, 2, 3].map((id) => storage.record('User', id).docs.attachments()),
      )
      const arrived = names(attached.flat())
      // One whose acknowledgement was lost on the way back may have been committed all the same.
      assert.deepEqual(
        acknowledged.filter((name) => !arrived.includes(name)),
        [],
      )
      assert.equal(new Set(arrived).size, arrived.length)
      assert.ok(files.objects.size >= arrived.length)
    })
  })

test('a database that is gone after the claim: drain rejects, and the process survives', async (t) => {
  const app = await openApp(t, sqliteServer)
  if (app === null) return
  for (let id = 1; id < 4; id += 1)
    await app.storage
      .record('User', id)
      .photo.attachLater({ io: Buffer.from('x'), filename: 'x.txt' })
  const ended = await inProcess('lost database', app.server.url, join(app.folder, 'objects'))
  assert.deepEqual(
    { code: ended.code, lines: ended.lines },
    { code: 0, lines: ['drain: The database is gone.'] },
  )
  await endLeases(app)
  await finish(app)
  assert.equal(await app.count('active_storage_attachments'), 3)
})
