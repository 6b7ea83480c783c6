import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
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
const everywhere: readonly ServerKind[] = [sqliteServer, ...networkServers]
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

// Each starts several processes, one after the other; together they use all processors.
describe('workers in separate processes', { concurrency: 3 }, () => {
  for (const kind of everywhere) {
    test(`${kind.name}: a worker that stops releases its upload uncounted; another one finishes it`, async (t) => {
      const app = await openApp(t, kind)
      if (app === null) return
      const root = join(app.folder, 'objects')
      const { photo } = app.storage.record('User', 1)
      await photo.attachLater({ io: pieces(8), filename: 'slow.txt' })
      let told = false
      const ended = await inProcess('slow', app.server.url, root, (line, kill) => {
        if (line === 'sending' && !told) {
          told = true
          kill('SIGTERM')
        }
      })
      assert.deepEqual(
        { code: ended.code, signal: ended.signal, last: ended.lines.at(-1) },
        { code: 0, signal: null, last: 'stopped' },
      )
      const [upload] = await photo.delayedUploads()
      assert.deepEqual(
        { state: upload?.state, attempts: upload?.attempts, lastError: upload?.lastError },
        { state: 'pending', attempts: 0, lastError: null },
      )
      assert.deepEqual(await filesIn(root), [])
      assert.equal(await app.count('workers'), 0)
      const other = await inProcess('plain', app.server.url, root)
      assert.equal(other.code, 0)
      assert.equal(await app.count('active_storage_attachments'), 1)
      assert.equal((await photo.attachment())?.byteSize, 8 * MB)
      assert.equal((await filesIn(root)).length, 1)
    })

    // Three processes each: the rounds are counted by statements that all databases share.
    for (const mode of kind === sqliteServer ? (['hook', 'part fails'] as const) : [])
      test(`${kind.name}: a hook that kills its process has 3 rounds${mode === 'hook' ? '' : ', also where another file has failed'}`, async (t) => {
        const app = await openApp(t, kind)
        if (app === null) return
        const { docs } = app.storage.record('User', 1)
        await docs.attachLater([
          { io: Buffer.from('aa'), filename: 'a.txt' },
          ...(mode === 'hook' ? [] : [{ io: Buffer.from('b'), filename: 'b.txt' }]),
        ])
        const signals: (string | null)[] = []
        for (let round = 0; round < 5; round += 1) {
          const { signal } = await inProcess(mode, app.server.url, join(app.folder, 'objects'))
          signals.push(signal)
          if (signal === null) break
          await endLeases(app)
        }
        if (mode === 'hook') assert.deepEqual(signals, ['SIGKILL', 'SIGKILL', 'SIGKILL', null])
        assert.equal(signals.at(-1), null, 'The hook is told again and again.')
        assert.deepEqual(names(await docs.attachments()), ['a.txt'])
        const left = await docs.delayedUploads()
        const states = left.map((upload) => [
          upload.state,
          ...upload.files.map((file) => file.state),
        ])
        // What failed waits for a person.
        assert.deepEqual(states, mode === 'hook' ? [] : [['failed', 'attached', 'failed']])
        assert.equal(await app.count('uploads'), mode === 'hook' ? 0 : 1)
      })
  }

  // One that locks rows, and one that locks the file.
  for (const kind of [sqliteServer, ...networkServers.slice(-1)])
    test(`${kind.name}: an image that kills its process fails after the usual attempts`, async (t) => {
      const app = await openApp(t, kind)
      if (app === null) return
      await app.storage
        .record('User', 1)
        .avatar.attachLater({ io: pieces(1), filename: 'bomb.png' })
      const ends: string[] = []
      for (let round = 0; round < 6; round += 1) {
        const { lines, signal } = await inProcess(
          'plain',
          app.server.url,
          join(app.folder, 'objects'),
        )
        ends.push(`${lines.join()} ${signal ?? 'alive'}`)
        if (signal === null) break
        await endLeases(app)
      }
      assert.deepEqual(ends, [
        'transform SIGKILL',
        'transform SIGKILL',
        'transform SIGKILL',
        ' alive',
      ])
      const [upload] = await app.storage.record('User', 1).avatar.delayedUploads()
      assert.equal(upload?.state, 'failed')
      assert.match(upload.lastError ?? '', /worker died in each of 3 attempts/)
      assert.equal(upload.files[0]?.state, 'failed')
      assert.equal((await upload.files[0].download()).length, MB)
    })
})
