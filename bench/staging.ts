// Staging and reading back, beside what the database itself can do with the same bytes.
import { createHash } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { createActiveStorage, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { createTableNames } from '../src/database/schema.ts'
import { openStore } from '../src/database/store.ts'
import { readStaged } from '../src/staging/chunks.ts'
import { findFiles } from '../src/staging/file-rows.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, postgresDatabase, closeDatabases } from '../test/support/databases.ts'
import { bytesOf, median, ratio, report, sizes, type Row } from './table.ts'

const CHUNK = 512 * 1024

interface Floor {
  write(size: number): Promise<void>
  read(size: number): Promise<void>
}

/** COPY BINARY in and out, hashed on the way as staging must. */
async function copyFloor(url: string): Promise<Floor & { close(): Promise<void> }> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(
    'create table floor (position integer primary key, data bytea); alter table floor alter column data set storage external',
  )
  const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
  return {
    async write(size) {
      await client.query('truncate floor')
      const hash = createHash('md5')
      const rows = async function* (): AsyncGenerator<Buffer> {
        yield header
        let position = 0
        for (let left = size; left > 0; left -= CHUNK) {
          const data = Buffer.alloc(Math.min(CHUNK, left), 'abcdefghijklm')
          hash.update(data)
          const head = Buffer.alloc(14)
          head.writeInt16BE(2)
          head.writeInt32BE(4, 2)
          head.writeInt32BE((position += 1), 6)
          head.writeInt32BE(data.length, 10)
          yield head
          yield data
        }
        yield Buffer.from([0xff, 0xff])
      }
      await pipeline(rows(), client.query(copyFrom('copy floor from stdin (format binary)')))
      hash.digest()
    },
    async read() {
      const hash = createHash('md5')
      for await (const part of client.query(copyTo('copy floor to stdout (format binary)')))
        hash.update(part as Buffer)
      hash.digest()
    },
    close: () => client.end(),
  }
}

/** The same rows by the same driver, without anything around them. */
function driverFloor(database: Database<never>): Floor {
  return {
    async write(size) {
      await database.executor.run('delete from floor_rows', [])
      const hash = createHash('md5')
      for (let left = size, position = 0; left > 0; left -= CHUNK, position += 1) {
        const data = Buffer.alloc(Math.min(CHUNK, left), 'abcdefghijklm')
        hash.update(data)
        await database.executor.run('insert into floor_rows (position, data) values (?, ?)', [
          position,
          data,
        ])
      }
      hash.digest()
    },
    async read(size) {
      const hash = createHash('md5')
      for (let position = 0; position * CHUNK < size; position += 1) {
        const { rows } = await database.executor.run(
          'select data from floor_rows where position = ?',
          [position],
        )
        hash.update(rows[0]?.['data'] as Buffer)
      }
      hash.digest()
    },
  }
}

const rows: Row[] = []
for (const kind of kinds) {
  const made = await kind.create()
  if (made === null) continue
  const { database } = made
  const storage = createActiveStorage({
    database,
    services: { memory: memory() },
    models: { User: { photo: hasOneAttached() } },
    secretKeyBase: 'bench',
  })
  await storage.migrate()
  const store = await openStore<never>(database, createTableNames(), 'bigint')
  const beside = kind.name === 'PostgreSQL' ? await postgresDatabase() : null
  const copy = beside === null ? null : await copyFloor(beside.url)
  if (copy === null)
    await database.executor.run(
      `create table floor_rows (position integer primary key, data ${kind.name === 'SQLite' ? 'blob' : 'mediumblob'})`,
      [],
    )
  const floor = copy ?? driverFloor(database)
  for (const [label, size] of Object.entries({ ...sizes, '1 GB': 1024 ** 3 })) {
    const times = size > 200_000_000 ? 1 : size > 10_000_000 ? 3 : 9
    const delay = monitorEventLoopDelay({ resolution: 1 })
    let id = ''
    await floor.write(size)
    const floorWrite = await median(times, () => floor.write(size))
    delay.enable()
    const write = await median(times, async () => {
      const staged = await storage.stage({ io: bytesOf(size)(), filename: 'bench.bin' })
      id = String(
        (await database.executor.run('select max(id) as id from activestorage_delayed_files', []))
          .rows[0]?.['id'],
      )
      return staged
    })
    const [file] = await findFiles(store.session, [id])
    const floorRead = await median(times, () => floor.read(size))
    const read = await median(times, async () => {
      if (file !== undefined) for await (const chunk of readStaged(store as never, file)) void chunk
    })
    delay.disable()
    rows.push({
      database: kind.name,
      size: label,
      'stage ÷ floor': ratio(floorWrite, write),
      'read ÷ floor': ratio(floorRead, read),
      'stage MB/s': Math.round(size / 1048.576 / write),
      'read MB/s': Math.round(size / 1048.576 / read),
      'longest block ms': Math.round(delay.max / 1e6),
    })
    await database.executor.run("update activestorage_delayed_files set state = 'dropped'", [])
    await storage.sweep()
  }
  await copy?.close()
  await beside?.close()
  await storage.close()
  await made.close()
}
await closeDatabases()
report('staging', rows)
