// Ten minutes of a bad day, on a PostgreSQL of its own: three web processes submit, purge, roll
// back and forget, three workers carry; processes are killed, the database is restarted and
// crashes, the service fails. At the end every file is there once, and nothing else.
// `npm run soak [-- --minutes 10]`.
import { fork, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startPostgres } from './postgres.ts'
import { openStorage } from './storage.ts'
import { faultsOf, settle } from './verify.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } })
const duration = Number(values.minutes) * 60_000
if (!(duration > 0)) throw new Error('--minutes takes a number above 0.')

const folder = await mkdtemp(join(tmpdir(), 'asd-soak-'))
const server = await startPostgres()
const opened = openStorage(server.url, folder)
await opened.storage.migrate()
await opened.database.executor.run(
  'create table submissions (seq bigserial primary key, user_id bigint not null, name text not null, filename text, md5 text)',
  [],
)
await opened.database.executor.run('create table told (filename text not null)', [])

const events: Record<string, number> = {}
const count = (what: string): void => void (events[what] = (events[what] ?? 0) + 1)
const seats = Array.from({ length: 6 }, (_, index) => ({
  role: index < 3 ? ('web' as const) : ('worker' as const),
  /** The first of each role lives as long as the soak: its memory is watched. */
  spared: index % 3 === 0,
  rss: [] as number[],
  child: undefined as ChildProcess | undefined,
}))
type Seat = (typeof seats)[number]
let over = false

function seat(taken: Seat): void {
  const child = fork(join(import.meta.dirname, 'process.ts'), [taken.role, server.url, folder])
  taken.child = child
  child.on('message', (message: { rss?: number; done?: boolean; failed?: string }) => {
    if (message.rss !== undefined) taken.rss.push(message.rss)
    if (message.done === true) count('visits')
    if (message.failed !== undefined) count(`visits failed: ${message.failed}`)
  })
  child.once('exit', (code, signal) => {
    if (over) return
    count(`${taken.role} ended by ${signal ?? `code ${code}`}`)
    if (taken.spared) console.error(`The ${taken.role} that was to live ended (${signal ?? code}).`)
    seat(taken)
  })
}
seats.forEach(seat)

const ends = Date.now() + duration
/** Does something at random times until the end. */
async function plague(
  least: number,
  most: number,
  what: () => Promise<void> | void,
): Promise<void> {
  for (;;) {
    const pause = randomInt(least, most)
    if (Date.now() + pause > ends) return
    await delay(pause)
    await what()
  }
}
const outage = join(folder, 'outage')
await Promise.all([
  plague(1_000, 4_000, () => {
    const victims = seats.filter(({ spared }) => !spared)
    victims[randomInt(victims.length)]?.child?.kill(randomInt(4) === 0 ? 'SIGTERM' : 'SIGKILL')
  }),
  plague(20_000, 50_000, async () => {
    const how = randomInt(2) === 0 ? 'fast' : 'crash'
    count(`database restarts, ${how}`)
    await server.restart(how)
  }),
  plague(10_000, 30_000, async () => {
    count('outages of the service')
    await writeFile(outage, '')
    await delay(randomInt(1_000, 8_000))
    await rm(outage)
  }),
  delay(duration),
])

over = true
for (const { role, child } of seats) if (role === 'web') child?.kill('SIGTERM')
const emptied = Date.now() + 180_000
for (;;) {
  const { pending, running } = await opened.storage.delayedUploads.stats()
  if (pending + running === 0 || Date.now() > emptied) break
  await delay(500)
}
const left = Math.round((emptied - Date.now()) / 1000)
for (const { child } of seats)
  if (child !== undefined && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
await settle(opened)
const faults = await faultsOf(opened, folder)
const { rows } = await opened.database.executor.run(
  'select (select count(*)::int from submissions where filename is not null) as files, (select count(*)::int from active_storage_attachments) as attached',
  [],
)
await opened.storage.close()
await server.end()
await rm(folder, { recursive: true, force: true })

console.table(events)
for (const { role, spared, rss } of seats)
  if (spared) {
    const quarter = Math.ceil(rss.length / 4)
    const mean = (part: readonly number[]): number =>
      Math.round(part.reduce((sum, each) => sum + each, 0) / part.length / 1024 ** 2)
    const [second, last] = [mean(rss.slice(quarter, 2 * quarter)), mean(rss.slice(-quarter))]
    console.log(
      `Memory of a ${role}, MB on average: ${second} in the second quarter, ${last} in the last one.`,
    )
    if (last > second * 1.5 + 30) faults.push(`the memory of a ${role} grows`)
  }
console.log(
  `${rows[0]?.['files']} files were submitted, ${rows[0]?.['attached']} are attached; the rest was replaced or purged.`,
)
console.log(`All was uploaded ${180 - left} s after the last submission.`)
for (const fault of faults) console.error(`✖ ${fault}`)
console.log(
  faults.length === 0 ? 'Every file is there once, and nothing else.' : `${faults.length} faults.`,
)
process.exitCode = faults.length === 0 ? 0 : 1
