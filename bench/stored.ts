// Measures a staged file of 100 MB that cannot be compressed, in the database and in memory, beside
// the Ruby gem's layout (base64 in a JSON text, whole in memory). Also measures the growth of
// PostgreSQL's files under a stream of small files.
import { randomBytes } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createActiveStorage,
  hasOneAttached,
  type Attachable,
  type StagedFile,
} from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, closeDatabases } from '../test/support/databases.ts'
import { ratio, report, type Row } from './table.ts'

const MB = 1024 ** 2
const SIZE = 100 * MB
const rows: Row[] = []
const path = join(tmpdir(), `bench-stored-${process.pid}.db`)

for (const kind of kinds) {
  const made =
    kind.name === 'SQLite'
      ? { database: sqlite(path) as unknown as Database<never>, close: removeFile }
      : await kind.create()
  if (made === null) continue
  const { database } = made
  const storage = createActiveStorage({
    database,
    services: { memory: memory() },
    models: { User: { photo: hasOneAttached() } },
    secretKeyBase: 'bench',
    logger: false,
  })
  await storage.migrate()
  await storage.stage({ io: randomBytes(MB), filename: 'warm.bin' })
  const ours = await cost(database, kind.name, () =>
    storage.stage({ io: random(), filename: 'bench.bin' }),
  )
  rows.push({ database: kind.name, layout: 'chunks', ...ours })
  // MariaDB's default packet is too small for it.
  if (kind.name !== 'MariaDB') {
    await database.executor.run('create table gem_layout (files text)', [])
    const gem = await cost(database, kind.name, async () => {
      const pieces: Buffer[] = []
      for await (const piece of random()) pieces.push(piece)
      const text = JSON.stringify([
        { filename: 'bench.bin', file: Buffer.concat(pieces).toString('base64') },
      ])
      await database.executor.run(
        `insert into gem_layout values (${kind.name === 'PostgreSQL' ? '$1' : '?'})`,
        [text],
      )
    })
    rows.push({ database: kind.name, layout: "the gem's", ...gem })
  }
  if (kind.name === 'PostgreSQL') await bloat(storage, database)
  await storage.close()
  await made.close()
}
await closeDatabases()
report('stored', rows)

async function* random(): AsyncGenerator<Buffer> {
  for (let left = SIZE; left > 0; left -= 65_536) yield randomBytes(Math.min(left, 65_536))
}

/**
 * Per byte of the file: what the tables grew by, what was logged, what the process needed at its
 * peak.
 */
async function cost(database: Database<never>, name: string, run: () => Promise<unknown>) {
  globalThis.gc?.()
  const before = {
    bytes: await stored(database, name),
    log: await logged(database, name),
    rss: process.memoryUsage.rss(),
  }
  let peak = before.rss
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5)
  await run()
  clearInterval(timer)
  peak = Math.max(peak, process.memoryUsage.rss())
  const log = (await logged(database, name)) - before.log
  return {
    'stored ÷ byte': ratio((await stored(database, name)) - before.bytes, SIZE),
    'logged ÷ byte': log === 0 ? '' : ratio(log, SIZE),
    'memory ÷ byte': ratio(peak - before.rss, SIZE),
  }
}

async function stored({ executor }: Database<never>, name: string): Promise<number> {
  if (name === 'SQLite') {
    await executor.run('pragma wal_checkpoint(truncate)', [])
    return (await stat(path)).size
  }
  const tables = ['activestorage_delayed_chunks', 'gem_layout']
  const { rows: found } =
    name === 'PostgreSQL'
      ? await executor.run(
          `select sum(pg_total_relation_size(oid)) as n from pg_class where relname in ('${tables.join("','")}')`,
          [],
        )
      : await executor.run(
          "select sum(file_size) as n from information_schema.innodb_sys_tablespaces where name = concat(database(), '/activestorage_delayed_chunks')",
          [],
        )
  return Number(found[0]?.['n'])
}

async function logged({ executor }: Database<never>, name: string): Promise<number> {
  if (name === 'SQLite') return 0
  const { rows: found } =
    name === 'PostgreSQL'
      ? await executor.run("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') as n", [])
      : await executor.run(
          "select variable_value as n from information_schema.global_status where variable_name = 'Innodb_os_log_written'",
          [],
        )
  return Number(found[0]?.['n'])
}

/** Ten thousand files of 100 KB staged and given up, fifty at a time there. */
async function bloat(
  storage: { stage(file: Attachable): Promise<StagedFile>; sweep(): Promise<void> },
  database: Database<never>,
): Promise<void> {
  await database.executor.run('vacuum full activestorage_delayed_chunks', [])
  const live: StagedFile[] = []
  let largest = 0
  for (let index = 0; index < 10_000; index += 1) {
    live.push(await storage.stage({ io: randomBytes(102_400), filename: 'small.bin' }))
    if (live.length > 50) await live.shift()?.discard()
    if (index % 500 === 499) {
      await storage.sweep()
      largest = Math.max(largest, await stored(database, 'PostgreSQL'))
    }
  }
  rows.push({
    database: 'PostgreSQL',
    layout: '10,000 × 100 KB through, 50 there: MB at most',
    'stored ÷ byte': Math.round(largest / MB),
  })
}

async function removeFile(): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(path + suffix, { force: true })
}
