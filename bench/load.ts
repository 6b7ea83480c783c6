// One server process with many slow clients: forms that trickle in, browsers that follow uploads, a
// worker in the same process, and small forms and files in between. At the end every file is
// attached once, every follower was told, and nothing is left; else the code is 1.
// `node bench/load.ts [--uploads 200] [--streams 2000] [--seconds 60]`
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { get, Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { postgresDatabase, closeDatabases } from '../test/support/databases.ts'
import { middle, report, type Row } from './table.ts'
import { start } from './web/child.ts'
import { follow, type Followed } from './web/follow.ts'
import { submit, type Part } from './web/form-client.ts'
import { openStorage } from './web/storage.ts'

const { values } = parseArgs({
  options: {
    uploads: { type: 'string', default: '200' },
    streams: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '60' },
  },
})
const [uploads, streams, seconds] = [
  Number(values.uploads),
  Number(values.streams),
  Number(values.seconds),
]
const SIZE = 10 * 1024 ** 2
const TICK = 100
/** Milliseconds between small forms. */
const EVERY = 200
const SAMPLE = 3_000

const made = await postgresDatabase()
if (made === null) {
  console.log('load: skipped, for there is no PostgreSQL.')
  process.exit()
}
const allowed = openFiles()
if (allowed < streams + 2 * uploads + 500)
  console.log(
    `load: ${allowed} open files a process are too few for ${streams} streams: run \`ulimit -n ${2 * (streams + uploads) + 1000}\` before it.`,
  )

const folder = await mkdtemp(join(tmpdir(), 'bench-'))
const storage = openStorage(made.url, folder)
await storage.migrate()
const database = new pg.Client(made.url)
await database.connect()
/** The MD5 that each record's one file must have. */
const expected = new Map<number, string>()
const followed: { readonly id: number; readonly stream: Followed }[] = []

// Files that are submitted already, whose turn does not come yet.
const waiting: { readonly id: number; readonly path: string }[] = []
let next = 1_000_000
await Promise.all(
  Array.from({ length: 8 }, async () => {
    while (waiting.length < streams) {
      const id = (next += 1)
      waiting.push({ id, path: '' })
      const upload = await storage
        .record('User', id)
        .files.attachLater({ io: Buffer.from(`file ${id}`), filename: `${id}.bin` })
      expected.set(id, md5(`file ${id}`))
      waiting[waiting.findIndex((each) => each.id === id)] = { id, path: upload?.path() ?? '' }
    }
  }),
)
await database.query('update activestorage_delayed_uploads set run_at = run_at + 3600000')
await storage.record('User', 1).files.attach({ io: Buffer.alloc(1024, 'x'), filename: 'small.bin' })
const small = (await storage.record('User', 1).files.attachments())[0]?.path({ proxy: true }) ?? ''

const server = await start(join(import.meta.dirname, 'web/load-server.ts'), [made.url, folder])
const rows: Row[] = []
/**
 * Memory now, the loop's delay since the last time, and what a visitor gets who asks for one small
 * file after another.
 */
const sample = async (when: string): Promise<void> => {
  const ask = async (): Promise<Record<string, number>> => {
    server.process.send('')
    return (await once(server.process, 'message'))[0] as Record<string, number>
  }
  const told = await ask()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const taken: number[] = []
  for (const until = performance.now() + SAMPLE; performance.now() < until;) {
    const began = performance.now()
    await fetched(server.url + small, agent)
    taken.push(performance.now() - began)
  }
  agent.destroy()
  const mb = (bytes: number | undefined): number => Math.round((bytes ?? 0) / 1024 ** 2)
  const round = (value: number | undefined): number => Number(((value ?? 0) / 1e6).toFixed(1))
  rows.push({
    when,
    'streams open': open,
    'RSS MB': mb(told['rss']),
    'heap MB': mb(told['heapUsed']),
    'external MB': mb(told['external']),
    'loop held p50 ms': round(told['p50']),
    'p99 ms': round(told['p99']),
    'max ms': round(told['max']),
    'small GET/s': Math.round((taken.length * 1000) / SAMPLE),
    'GET p50 ms': Number(middle(taken).toFixed(1)),
  })
}
let open = 0
const followUpload = (id: number, path: string): void => {
  const stream = follow(server.url + path)
  followed.push({ id, stream })
  open += 1
  void stream.ended.then(() => (open -= 1))
}

await sample('started')
for (let at = 0; at < waiting.length; at += 100) {
  for (const { id, path } of waiting.slice(at, at + 100)) followUpload(id, path)
  await Promise.all(followed.slice(at).map(({ stream }) => stream.opened))
}
await sample('followed')
const faults: string[] = []
const send = async (id: number, part: Part): Promise<void> => {
  try {
    followUpload(id, await submit(`${server.url}/${id}`, [part]))
  } catch (error) {
    faults.push(`record ${id}: the form was not taken: ${String(error)}`)
  }
}
// It comes in the last third.
await database.query(
  'update activestorage_delayed_uploads set run_at = (extract(epoch from now()) * 1000 + (2 + random()) * $1)::bigint',
  [(seconds * 1000) / 3],
)
const began = performance.now()
const slow = Array.from({ length: uploads }, (_, index) =>
  send(1000 + index, trickling(1000 + index)),
)
let over = false
const steady: Promise<void>[] = []
const stream = (async () => {
  for (let id = 10_000; !over; id += 1, await delay(EVERY)) {
    const bytes = Buffer.alloc(10 * 1024, `form ${id}`)
    expected.set(id, md5(bytes))
    steady.push(send(id, { size: bytes.length, bytes: () => [bytes] }))
  }
})()
for (const share of [0.1, 0.3, 0.6, 0.9]) {
  await delay(Math.max(0, share * seconds * 1000 - (performance.now() - began)))
  await sample(`${Math.round(share * seconds)} s`)
}
await Promise.all(slow)
const took = (performance.now() - began) / 1000
await sample(`${Math.round(took)} s, forms are in`)
over = true
await stream
await Promise.all(steady)
const patience = delay(600_000, 'not told within ten minutes', { ref: false })
for (const each of followed) {
  const told = await Promise.race([each.stream.ended, patience])
  if (told !== 'attached') faults.push(`record ${each.id}: its follower ended with ${told}`)
}
await delay(2_000)
await sample(`${Math.round((performance.now() - began) / 1000)} s, all are told`)
server.process.disconnect()
await once(server.process, 'exit')
report(`load of ${uploads} slow uploads and ${streams} streams`, rows)

for (const [id, checksum] of expected) {
  const attached = await storage.record('User', id).files.attachments()
  const [only] = attached
  if (attached.length !== 1 || only === undefined)
    faults.push(`record ${id}: ${attached.length} files are attached`)
  else if (only.checksum !== checksum || md5(await only.download()) !== checksum)
    faults.push(`record ${id}: the bytes are wrong`)
}
await storage.sweep()
for (const [what, sql] of Object.entries({
  'chunks are left': 'select count(*) from activestorage_delayed_chunks',
  'uploads are left': 'select count(*) from activestorage_delayed_uploads',
  'files are staged':
    "select count(*) from activestorage_delayed_files where state not in ('attached', 'done', 'dropped')",
})) {
  const count = Number((await database.query(sql)).rows[0]?.count)
  if (count > 0) faults.push(`${count} ${what}`)
}
console.log(
  faults.length === 0
    ? `${expected.size} files attached once with the right MD5, ${followed.length} followers told, nothing left.`
    : faults.slice(0, 20).join('\n'),
)
process.exitCode = faults.length === 0 ? 0 : 1
await database.end()
await storage.close()
await made.close()
await closeDatabases()
await rm(folder, { recursive: true, force: true })

function md5(bytes: string | Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64')
}

/** A file whose bytes come as slowly as `seconds` has it, and are nobody else's. */
function trickling(id: number): Part {
  const ticks = Math.max(1, Math.round((seconds * 1000) / TICK))
  const piece = Math.ceil(SIZE / ticks)
  return {
    size: SIZE,
    async *bytes() {
      const hash = createHash('md5')
      for (let left = SIZE, tick = 0; left > 0; left -= piece, tick += 1) {
        const bytes = Buffer.alloc(Math.min(piece, left), `${id} ${tick} `)
        hash.update(bytes)
        yield bytes
        await delay(TICK)
      }
      expected.set(id, hash.digest('base64'))
    },
  }
}

function fetched(url: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      response.resume()
      response.on('end', () =>
        response.statusCode === 200
          ? resolve()
          : reject(new Error(`${url}: ${response.statusCode}`)),
      )
    }).on('error', reject)
  })
}

/** What a process may open. Node raises its soft limit to the hard one by itself. */
function openFiles(): number {
  try {
    return Number(
      /Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ??
        Infinity,
    )
  } catch {
    return Infinity
  }
}
