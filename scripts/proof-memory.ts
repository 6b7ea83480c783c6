// Shows that memory stays bounded whatever a file's size: one process stages a large file, another
// carries it to the service, a third attaches the same file directly, a fourth reads both back.
// `npm run proof:memory ['1 GB']`.
import { spawn } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Database } from '../src/adapters.ts'
import type { Size } from '../src/options/units.ts'

const MB = 1024 * 1024
/** Megabytes that no process may ever have used. */
const LIMIT = 200
/** What an HTTP body comes in. */
const PIECE = 64 * 1024

const steps = ['stage', 'upload', 'attach directly', 'read back'] as const
type Step = (typeof steps)[number]
const isStep = (text: string): text is Step => (steps as readonly string[]).includes(text)

interface Measured {
  readonly seconds: number
  /** MB, of the process' whole life. */
  readonly peak: number
  /** Milliseconds. */
  readonly delay: number
  /** Hex MD5 of what was read back, one for each file. */
  readonly read: readonly string[]
}

/** The same bytes in every process, too random to be compressed, and never all there at once. */
async function* pseudoRandom(size: number): AsyncGenerator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 'proof'), Buffer.alloc(16))
  const zeros = Buffer.alloc(PIECE)
  for (let left = size; left > 0; left -= PIECE)
    yield cipher.update(left < PIECE ? zeros.subarray(0, left) : zeros)
}

async function md5(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('md5')
  for await (const chunk of bytes) hash.update(chunk)
  return hash.digest('hex')
}

/**
 * The kernel's own count where it can be had: that of `resourceUsage` may begin with the parent's.
 */
function peakMemory(): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    if (kilobytes !== undefined) return Number(kilobytes) / 1024
  } catch {
    // No /proc here.
  }
  return process.resourceUsage().maxRSS / 1024
}

/**
 * Loads nothing that an app on that database would not load, and the built package: types that node
 * strips from sources take memory of their own.
 */
async function runStep(step: Step, url: string, folder: string, size: number): Promise<Measured> {
  const built = (path: string): string => new URL(`../dist/${path}.js`, import.meta.url).href
  const { createActiveStorage, hasOneAttached } = (await import(
    built('index')
  )) as typeof import('../src/index.ts')
  const { disk } = (await import(
    built('services/disk')
  )) as typeof import('../src/services/disk.ts')
  const database = url.startsWith('postgres')
    ? (
        (await import(built('database/postgres'))) as typeof import('../src/database/postgres.ts')
      ).postgres(url)
    : (
        (await import(built('database/sqlite'))) as typeof import('../src/database/sqlite.ts')
      ).sqlite(url)
  const storage = createActiveStorage({
    database: database as unknown as Database<never>,
    services: { local: disk({ root: join(folder, 'objects') }) },
    secretKeyBase: 'only this proof signs with it',
    models: { User: { photo: hasOneAttached() } },
  })
  await storage.migrate()
  const staged = storage.record('User', 1).photo
  const direct = storage.record('User', 2).photo
  const file = () => ({ io: pseudoRandom(size), filename: 'large.bin' })
  const read: string[] = []
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const started = performance.now()
  if (step === 'stage') await staged.attachLater(file())
  if (step === 'upload') await storage.drain({ throwOnError: true })
  if (step === 'attach directly') await direct.attach(file())
  const seconds = (performance.now() - started) / 1000
  if (step === 'read back')
    for (const { attachment } of [staged, direct]) {
      const found = await attachment()
      if (found === null) throw new Error('There is nothing to read back.')
      read.push(await md5(found.stream()))
    }
  const spent = step === 'read back' ? (performance.now() - started) / 1000 / read.length : seconds
  delays.disable()
  await storage.close()
  return { seconds: spent, peak: peakMemory(), delay: delays.max / 1e6, read }
}

/** A process of its own for each step, so that each peak is that step's alone. */
async function inProcess(
  step: Step,
  url: string,
  folder: string,
  size: number,
  signal: AbortSignal,
): Promise<Measured> {
  const child = spawn(
    process.execPath,
    [import.meta.filename, `--step=${step}`, url, folder, String(size)],
    {
      // Temporary files too go where they are removed in all cases.
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const end = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', end, { once: true })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(child, 'close')) as [code: number | null]
  signal.removeEventListener('abort', end)
  signal.throwIfAborted()
  if (code !== 0) throw new Error(`The step '${step}' ended with ${String(code)}.`)
  return JSON.parse(output) as Measured
}

interface Server {
  readonly name: string
  readonly url: string
  close(): Promise<void>
}

/** Returns the lines of the table, and whether all is as it should be. */
async function prove(
  server: Server,
  folder: string,
  size: number,
  expected: string,
  signal: AbortSignal,
): Promise<{ lines: string[][]; good: boolean }> {
  const lines: string[][] = []
  let good = true
  for (const step of steps) {
    const { seconds, peak, delay, read } = await inProcess(step, server.url, folder, size, signal)
    const intact = read.every((sum) => sum === expected)
    if (peak > LIMIT || !intact) good = false
    const verdict =
      peak > LIMIT
        ? `above ${LIMIT} MB`
        : !intact
          ? 'MD5 differs'
          : step === 'read back'
            ? 'MD5 the same'
            : 'ok'
    lines.push([
      server.name,
      step,
      (size / MB / seconds).toFixed(0),
      peak.toFixed(0),
      delay.toFixed(0),
      verdict,
    ])
  }
  return { lines, good }
}

function print(lines: readonly (readonly string[])[]): void {
  const widths =
    lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  for (const line of lines)
    console.log(
      line
        .map((cell, column) =>
          column > 1 && column < 5
            ? cell.padStart(widths[column] ?? 0)
            : cell.padEnd(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
}

async function main(text: string): Promise<number> {
  const { parseSize } = await import('../src/options/units.ts')
  const { postgresDatabase, closeDatabases } = await import('../test/support/databases.ts')
  const size = parseSize((/^\d+$/.test(text) ? Number(text) : text) as Size, 'The size')
  const interrupted = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => interrupted.abort(new Error(`Ended by ${name}.`)))
  const { signal } = interrupted
  const { bavail, bsize } = await statfs(tmpdir())
  const needed = 4 * size
  if (bavail * bsize < needed) {
    console.error(
      `${tmpdir()} has ${Math.floor((bavail * bsize) / MB)} MB free; this needs ${Math.ceil(needed / MB)} MB. Give a smaller size.`,
    )
    return 1
  }
  const expected = await md5(pseudoRandom(size))
  signal.throwIfAborted()
  const lines = [['database', 'step', 'MB/s', 'peak MB', 'longest block ms', '']]
  let good = true
  try {
    for (const name of ['SQLite', 'PostgreSQL']) {
      signal.throwIfAborted()
      const folder = await mkdtemp(join(tmpdir(), 'asd-proof-'))
      try {
        const server =
          name === 'SQLite'
            ? { url: join(folder, 'app.db'), close: () => Promise.resolve() }
            : await postgresDatabase()
        if (server === null) {
          console.log('PostgreSQL is skipped: no server answered and none could be brought up.')
          continue
        }
        try {
          const proven = await prove({ name, ...server }, folder, size, expected, signal)
          lines.push(...proven.lines)
          good &&= proven.good
        } finally {
          await server.close()
        }
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    }
  } finally {
    await closeDatabases()
  }
  console.log(
    `A file of ${Math.round(size / MB)} MB; each step is a process of its own, which may use ${LIMIT} MB.\n`,
  )
  print(lines)
  return good ? 0 : 1
}

const [first = '1 GB', url = '', folder = '', size = ''] = process.argv.slice(2)
const step = first.replace(/^--step=/, '')
if (first.startsWith('--step=') && isStep(step))
  process.stdout.write(JSON.stringify(await runStep(step, url, folder, Number(size))))
else
  process.exitCode = await main(first).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    return 1
  })
