// An app on a database whose connections can be cut, and workers in processes of their own.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type Duration,
  type Logger,
} from '../../src/index.ts'
import type { Database, Service } from '../../src/adapters.ts'
import { memory } from '../../src/services/memory.ts'
import { networkServers, openUrl, sqliteServer, type Server, type ServerKind } from './servers.ts'

export const MB = 1024 * 1024

const script = join(import.meta.dirname, 'worker-process.ts')

export const sortedNames = (files: readonly { filename: string }[]): string[] =>
  files.map((file) => file.filename).sort()

export interface LogEntry {
  readonly level: string
  readonly message: string
}

/** Options of a test's storage that differ from the defaults. */
export interface ServerAppOptions {
  readonly service?: Service
  readonly onLog?: (heard: LogEntry) => void
  readonly errorUpload?: (error: Error & { details?: { filename?: string } }) => void
  readonly afterUploadAll?: () => void
  /** Before the next attempt. Default 1 ms. */
  readonly delay?: Duration
}

export function createServerStorage(
  database: Database<never>,
  {
    service = memory(),
    onLog,
    errorUpload,
    afterUploadAll,
    delay: minDelay = '1ms',
  }: ServerAppOptions = {},
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

export interface ServerApp {
  readonly server: Server
  readonly folder: string
  readonly storage: ReturnType<typeof createServerStorage>
  run(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]>
  count(table: string): Promise<number>
}

export async function openServerApp(
  t: TestContext,
  kind: ServerKind,
  given?: ServerAppOptions | ((server: Server) => ServerAppOptions),
): Promise<ServerApp | null> {
  const server = await kind.create()
  if (server === null) {
    t.skip(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
    return null
  }
  const folder = await mkdtemp(join(tmpdir(), 'asd-disaster-'))
  const database = openUrl(server.url)
  const storage = createServerStorage(database, typeof given === 'function' ? given(server) : given)
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

/** Ends the leases of dead workers and all delays. */
export const endLeases = ({ run }: Pick<ServerApp, 'run'>) =>
  run('update activestorage_delayed_uploads set lease_until = 0, run_at = 0')

/** Makes the unlinked files expire. */
export const expire = ({ run }: Pick<ServerApp, 'run'>) =>
  run('update activestorage_delayed_files set expires_at = 0 where upload_token is null')

/** Uploads until nothing is left, whoever has to be helped out of a lease. */
export async function finish(app: ServerApp): Promise<void> {
  for (let round = 0; round < 30; round += 1) {
    const { remaining } = await app.storage.drain()
    if (remaining === 0) return
    await endLeases(app)
  }
  assert.fail('Uploads are left.')
}

export async function* generatePieces(
  count: number,
  at: (index: number) => unknown = () => undefined,
): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) {
    yield Buffer.alloc(MB, `${index}`)
    await at(index)
  }
}

export interface ProcessEnd {
  readonly code: number | null
  readonly signal: string | null
  readonly lines: readonly string[]
}

/** Runs a worker of its own to its end. `onLine` hears what it says. */
export async function startWorkerProcess(
  mode: string,
  url: string,
  root: string,
  onLine?: (line: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<ProcessEnd> {
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

/** Every object that a disk service shows, and everything that it hides. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isFile() && entry.name !== 'ballast')
    .map((entry) => entry.name)
}

export const serverKinds: readonly ServerKind[] = [sqliteServer, ...networkServers]
