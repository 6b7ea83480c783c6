// From the commit of a submission to the start of its work in another process on PostgreSQL, beside
// a bare notification; and within one process on each database.
import { fork } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { createActiveStorage, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { postgres } from '../src/database/postgres.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, postgresDatabase, closeDatabases } from '../test/support/databases.ts'
import { ratio, report, type Row } from './table.ts'

const TIMES = 300
const storageOn = (database: Database<never>) =>
  createActiveStorage({
    database,
    services: { memory: memory() },
    models: { User: { photo: hasOneAttached() } },
    secretKeyBase: 'bench',
    logger: false,
  })
const STARTED = 'tracing:activestorage-delayed:delayed_upload:start'

const [role, url = ''] = process.argv.slice(2)
if (role === 'worker') {
  // The monotonic clock is the machine's, not the process'.
  subscribe(STARTED, () => process.send?.(String(process.hrtime.bigint())))
  const listener = new pg.Client(url)
  await listener.connect()
  listener.on('notification', () => process.send?.(String(process.hrtime.bigint())))
  await listener.query('listen bare')
  storageOn(postgres(url) as unknown as Database<never>).work()
  await delay(500)
  process.send?.('ready')
} else await measure()

async function measure(): Promise<void> {
  const rows: Row[] = []
  const made = await postgresDatabase()
  if (made !== null) {
    const storage = storageOn(postgres(made.url) as unknown as Database<never>)
    await storage.migrate()
    const client = new pg.Client(made.url)
    await client.connect()
    await client.query('create table notes (id bigserial primary key)')
    const worker = fork(import.meta.filename, ['worker', made.url])
    await once(worker, 'message')
    const began = async (): Promise<bigint> => BigInt(String((await once(worker, 'message'))[0]))
    const bare = await measureLatency(began, async () => {
      await client.query('begin')
      await client.query('insert into notes default values')
      await client.query("notify bare, ''")
      await client.query('commit')
    })
    const ours = await measureLatency(began, (id) =>
      storage.record('User', id).photo.attachLater(new File(['x'], 'x')),
    )
    rows.push({ from: 'PostgreSQL, a bare notification to another process', ...bare })
    rows.push({
      from: 'PostgreSQL, commit to start in another process',
      ...ours,
      'p50 ÷ bare': ratio(ours['p50 ms'], bare['p50 ms']),
    })
    worker.kill()
    await client.end()
    await storage.close()
    await made.close()
  }
  for (const kind of kinds) {
    const opened = await kind.create()
    if (opened === null) continue
    const storage = storageOn(opened.database)
    await storage.migrate()
    let heard: (at: bigint) => void = () => undefined
    subscribe(STARTED, () => heard(process.hrtime.bigint()))
    const began = (): Promise<bigint> => new Promise((resolve) => (heard = resolve))
    const worker = storage.work()
    await delay(500)
    const ours = await measureLatency(began, (id) =>
      storage.record('User', id).photo.attachLater(new File(['x'], 'x')),
    )
    rows.push({ from: `${kind.name}, commit to start in the same process`, ...ours })
    await worker.stop()
    await storage.close()
    await opened.close()
  }
  await closeDatabases()
  report('latency', rows)
}

/**
 * Milliseconds between the return of `act` and what `began` says; one that begins before counts as
 * 0.
 */
async function measureLatency(
  began: () => Promise<bigint>,
  act: (id: number) => Promise<unknown>,
): Promise<{ 'p50 ms': number; 'p95 ms': number }> {
  const taken: number[] = []
  for (let id = 1; id <= TIMES; id += 1) {
    const start = began()
    await act(id)
    const committed = process.hrtime.bigint()
    taken.push(Math.max(0, Number((await start) - committed) / 1e6))
    await delay(10)
  }
  taken.sort((a, b) => a - b)
  const at = (share: number): number =>
    Number((taken[Math.floor(taken.length * share)] ?? 0).toFixed(2))
  return { 'p50 ms': at(0.5), 'p95 ms': at(0.95) }
}
