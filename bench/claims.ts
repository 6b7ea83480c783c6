// Measures a worker's claims (five uploads, hooks) by the number of uploads that wait: also with ten
// thousand in one lane, and beside ten thousand that failed.
import { openStore } from '../src/database/store.ts'
import { createTableNames } from '../src/database/schema.ts'
import { claimHooks } from '../src/delayed/claim-hooks.ts'
import { claimUploads } from '../src/delayed/claim-uploads.ts'
import { createActiveStorage, hasManyAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, closeDatabases, type Kind } from '../test/support/databases.ts'
import { ratio, report, type Row } from './table.ts'

const CLAIMS = 100
const sizes = [1_000, 100_000, ...(process.argv.includes('--large') ? [1_000_000] : [])]

/** `count` uploads of one file each: of a record each, or all of record 1. */
async function insert(
  { executor }: Database<never>,
  kind: Kind,
  {
    from = 1_000_000,
    count,
    oneLane = false,
    state = 'pending',
  }: { from?: number; count: number; oneLane?: boolean; state?: string },
): Promise<void> {
  const series = {
    SQLite: `(with recursive s(n) as (select 1 union all select n + 1 from s where n < ${count}) select n from s) s`,
    PostgreSQL: `generate_series(1, ${count}) s(n)`,
    MariaDB: `(select seq as n from seq_1_to_${count}) s`,
  }[kind.name]
  const text = (number: string): string =>
    ({
      SQLite: `'u' || ${number}`,
      PostgreSQL: `'u' || ${number}`,
      MariaDB: `concat('u', ${number})`,
    })[kind.name] ?? ''
  const now = kind.name === 'SQLite' ? "strftime('%Y-%m-%d %H:%M:%f', 'now')" : 'current_timestamp'
  const n = `(n + ${from})`
  await executor.run(
    `insert into activestorage_delayed_uploads (uploadable_type, uploadable_id, attr_name, token, state, created_at, updated_at)
     select 'User', ${oneLane ? '1' : n}, 'docs', ${text(n)}, '${state}', ${now}, ${now} from ${series}`,
    [],
  )
  await executor.run(
    `insert into activestorage_delayed_files (id, state, upload_token, position, filename, content_type, byte_size, checksum, expires_at, created_at)
     select ${text(n)}, '${state === 'failed' ? 'failed' : 'staged'}', ${text(n)}, 0, 'a.txt', 'text/plain', 1, 'x', 9000000000000, 0 from ${series}`,
    [],
  )
  const analyze = {
    SQLite: ['analyze'],
    PostgreSQL: ['analyze'],
    MariaDB: [
      'analyze table activestorage_delayed_uploads',
      'analyze table activestorage_delayed_files',
    ],
  }
  for (const statement of analyze[kind.name as keyof typeof analyze])
    await executor.run(statement, [])
}

const situations = [
  ...sizes.map((waiting) => ({ label: String(waiting), waiting, lane: 0, failed: 0 })),
  { label: '1000 behind a lane of 10000', waiting: 1_000, lane: 10_000, failed: 0 },
  { label: '1000 beside 10000 failed', waiting: 1_000, lane: 0, failed: 10_000 },
]
const rows: Row[] = []
for (const kind of kinds) {
  let first: number | undefined
  for (const { label, waiting, lane, failed } of situations) {
    const made = await kind.create()
    if (made === null) continue
    const { database } = made
    const models = { User: { docs: hasManyAttached() } }
    const storage = createActiveStorage({
      database,
      services: { memory: memory() },
      models,
      secretKeyBase: 'bench',
    })
    await storage.migrate()
    const store = await openStore<never>(database, createTableNames(), 'bigint')
    const delayed = {
      store,
      known: [{ type: 'User', name: 'docs' }],
      definition: () => undefined,
    } as never
    if (lane > 0) await insert(database, kind, { from: 0, count: lane, oneLane: true })
    if (failed > 0) await insert(database, kind, { from: 100_000, count: failed, state: 'failed' })
    await insert(database, kind, { count: waiting })
    const [uploads, hooks]: number[][] = [[], []]
    for (let index = 0; index < CLAIMS; index += 1) {
      uploads?.push(await measureRun(() => claimUploads(delayed, 5)))
      hooks?.push(await measureRun(() => claimHooks(delayed, 5)))
    }
    const p50 = part(uploads, 0.5)
    first ??= p50
    rows.push({
      database: kind.name,
      waiting: label,
      'p50 ms': p50,
      'p95 ms': part(uploads, 0.95),
      'longest ms': part(uploads, 1),
      'hooks p50 ms': part(hooks, 0.5),
      'p50 ÷ p50 at 1000': ratio(p50, first),
    })
    await storage.close()
    await made.close()
  }
}
await closeDatabases()
report('claims', rows)

async function measureRun(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await run()
  return performance.now() - started
}

function part(taken: readonly number[] = [], share: number): number {
  const sorted = taken.toSorted((a, b) => a - b)
  return Number(
    (sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0).toFixed(2),
  )
}
