// The app's pool or handle of each driver, with its own transactions and settings.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type BetterSqlite3 from 'better-sqlite3'
import mariadb from 'mariadb'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { mysql, type MysqlConnection, type MysqlPool } from '../src/database/mysql.ts'
import { postgres } from '../src/database/postgres.ts'
import { sqlite, type SqliteHandle } from '../src/database/sqlite.ts'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import {
  accountOf,
  kinds,
  postgresDatabase,
  closeDatabases,
  type Account,
} from './support/databases.ts'
import { storageOn, switchable, text } from './support/storage.ts'
import { afterShortWaits } from './support/time.ts'

after(() => closeDatabases())

/** A transaction that the app began by itself. */
interface Transaction {
  readonly tx: never
  run(sql: string): Promise<unknown>
  commit(): Promise<void>
  rollback(): Promise<void>
}
interface App {
  readonly database: Database<never>
  begin(): Promise<Transaction>
  /** Values that could be mistaken for the transaction. */
  readonly notTransactions: readonly unknown[]
  /** The next id of each of these tables. */
  startIds(table: string, id: bigint): string
  close(): Promise<void>
}
/** A text says why the driver is not to be had. */
interface Driver {
  readonly name: string
  open(): Promise<App | string>
}
const noServer = (name: string): string => `no ${name} answered`

/** A pool of either driver. `begin` is on a connection of the pool. */
const onMysql = (name: string, createPool: (options: Account) => MysqlPool): Driver => ({
  name,
  async open() {
    const made = await kinds.find((kind) => kind.name === 'MariaDB')?.create()
    if (made == null) return noServer('MariaDB')
    await made.database.close()
    const pool = createPool(accountOf(made.url))
    return {
      database: mysql(pool) as unknown as Database<never>,
      notTransactions: [pool, {}],
      startIds: (table, id) => `alter table ${table} auto_increment = ${id}`,
      async begin() {
        const connection = await pool.getConnection()
        await connection.query('start transaction')
        const end = (how: string) => async (): Promise<void> => {
          await connection.query(how)
          await connection.release()
        }
        return {
          tx: connection as MysqlConnection as never,
          run: (sql) => connection.query(sql),
          commit: end('commit'),
          rollback: end('rollback'),
        }
      },
      async close() {
        await pool.end()
        await made.close()
      },
    }
  },
})

const onPostgres = (name: string, options: pg.PoolConfig): Driver => ({
  name,
  async open() {
    const made = await postgresDatabase()
    if (made === null) return noServer('PostgreSQL')
    const pool = new pg.Pool({ ...options, connectionString: made.url })
    pool.on('error', () => undefined)
    return {
      database: postgres(pool) as unknown as Database<never>,
      notTransactions: [pool, {}],
      startIds: (table, id) => `alter sequence ${table}_id_seq restart with ${id}`,
      async begin() {
        const client = await pool.connect()
        await client.query('begin')
        const end = (how: string) => async (): Promise<void> => {
          await client.query(how)
          client.release()
        }
        return {
          tx: client as never,
          run: (sql) => client.query(sql),
          commit: end('commit'),
          rollback: end('rollback'),
        }
      },
      async close() {
        await pool.end()
        await made.close()
      },
    }
  },
})

interface SqliteApp extends App {
  readonly handle: SqliteHandle
}
interface SqliteDriver extends Driver {
  open(): Promise<SqliteApp | string>
}
const onSqlite = (
  name: string,
  openFile: (path: string) => SqliteHandle | string,
): SqliteDriver => ({
  name,
  async open() {
    const folder = await mkdtemp(join(tmpdir(), 'asd-'))
    const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
    const handle = openFile(join(folder, 'app.db'))
    if (typeof handle === 'string') {
      await remove()
      return handle
    }
    const other = new DatabaseSync(':memory:')
    other.exec('begin')
    const run = (sql: string) => (): Promise<void> => Promise.resolve(void handle.exec(sql))
    return {
      handle,
      database: sqlite(handle) as unknown as Database<never>,
      // No transaction is open on it; and it is open on another one.
      notTransactions: [handle, other, {}],
      startIds: (table, id) =>
        `insert into sqlite_sequence (name, seq) values ('${table}', ${id - 1n})`,
      async begin() {
        handle.exec('begin immediate')
        return {
          tx: handle as never,
          run: (sql) => run(sql)(),
          commit: run('commit'),
          rollback: run('rollback'),
        }
      },
      async close() {
        handle.close()
        other.close()
        await remove()
      },
    }
  },
})

function openBetterSqlite3(path: string): SqliteHandle | string {
  try {
    const Constructor = createRequire(import.meta.url)('better-sqlite3') as typeof BetterSqlite3
    return new Constructor(path)
  } catch (error) {
    const [why = ''] = (error as Error).message.split('\n')
    return `better-sqlite3 has no build for this machine (node-gyp rebuild in its folder may make one): ${why}`
  }
}

/**
 * Options that apps set for themselves, and that would change the library's rows if it did not
 * override them.
 */
const oddMysql = {
  connectionLimit: 1,
  rowsAsArray: true,
  namedPlaceholders: true,
  typeCast: (): string => 'cast by the app',
}
const oddParsers: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    (oid === 20
      ? (value: string) => Number(value)
      : pg.types.getTypeParser(oid, format as 'text')) as never,
}
const sqliteDrivers = [
  onSqlite('a handle of node:sqlite', (path) => new DatabaseSync(path)),
  onSqlite('a handle of better-sqlite3', openBetterSqlite3),
]
const drivers: readonly Driver[] = [
  onPostgres('a pool of pg', {}),
  onPostgres('a pool of pg of one connection, with parsers of the app', {
    max: 1,
    types: oddParsers,
  }),
  onMysql('a pool of mariadb', (options) => mariadb.createPool({ ...options, connectionLimit: 4 })),
  onMysql('a pool of mariadb of one connection, with settings of the app', (options) =>
    mariadb.createPool({ ...options, ...oddMysql, bigIntAsNumber: true }),
  ),
  onMysql('a pool of mysql2', (options) => mysql2.createPool(options)),
  onMysql('a pool of mysql2 of one connection, with settings of the app', (options) =>
    mysql2.createPool({ ...options, ...oddMysql }),
  ),
  ...sqliteDrivers,
]

const models = {
  User: {
    photo: hasOneAttached(),
    certificates: hasManyAttached(),
    few: hasManyAttached({ maxFiles: 1 }),
  },
}
const configuration = { code: 'CONFIGURATION' }
const names = (files: readonly { filename: string }[]): string[] =>
  files.map((file) => file.filename)
const everyByte = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 256))
const big = Buffer.alloc(3 * 2 ** 20 + 7)
for (let index = 0; index < big.length; index += 1) big[index] = (index * 31 + (index >> 8)) & 255

async function opened<A extends App>(t: TestContext, driver: { open(): Promise<A | string> }) {
  const app = await driver.open()
  if (typeof app === 'string') {
    t.skip(app)
    return null
  }
  const service = switchable()
  const storage = storageOn(app.database, models, service)
  t.after(async () => {
    await storage.close()
    await app.close()
  })
  await storage.migrate()
  const query = async (sql: string) => (await app.database.executor.run(sql, [])).rows
  await query('create table notes (id integer)')
  return {
    ...app,
    storage,
    service,
    query,
    /** Rows by table, of those that have any. */
    async rows(...tables: readonly string[]): Promise<Record<string, number>> {
      const counts: Record<string, number> = {}
      for (const table of tables) {
        const [row] = await query(`select count(*) as n from ${table}`)
        if (Number(row?.['n']) > 0) counts[table] = Number(row?.['n'])
      }
      return counts
    },
  }
}
const railsTables = ['active_storage_blobs', 'active_storage_attachments'] as const
const ourTables = [
  'activestorage_delayed_uploads',
  'activestorage_delayed_chunks',
  'activestorage_delayed_jobs',
] as const

for (const driver of drivers)
  test(driver.name, { timeout: 40_000 }, async (t) => {
    const app = await opened(t, driver)
    if (app === null) return
    const { storage, service, query, rows } = app

    await t.test(
      'a handle without an open transaction is refused, and nothing is written',
      async () => {
        for (const wrong of app.notTransactions) {
          const { photo } = storage.record('User', 1, { transaction: wrong as never })
          await assert.rejects(photo.attachLater(text('x')), configuration)
          await assert.rejects(photo.attachment(), configuration)
        }
        assert.deepEqual(await rows('activestorage_delayed_files', ...ourTables), {})
      },
    )

    await t.test(
      "all steps from the app's own transaction to purge work, with ids above 2^53",
      async () => {
        const first = 2n ** 53n + 1n
        for (const table of [...railsTables, 'activestorage_delayed_uploads'])
          await query(app.startIds(table, first))
        const id = 2n ** 53n + 1n

        const undone = await app.begin()
        await undone.run('insert into notes values (1)')
        const inUndone = storage.record('User', id, { transaction: undone.tx })
        await inUndone.attachLater({
          photo: { io: big, filename: 'big.bin' },
          certificates: [text('a')],
        })
        assert.equal((await inUndone.photo.delayedUploads()).length, 1)
        await undone.rollback()
        assert.deepEqual(await rows('notes', 'activestorage_delayed_files', ...ourTables), {})
        assert.equal((await storage.drain()).uploaded, 0)
        assert.equal(service.uploads, 0)

        const done = await app.begin()
        await done.run('insert into notes values (1)')
        await storage.record('User', id, { transaction: done.tx }).attachLater({
          photo: { io: big, filename: '📷 履歴書.bin' },
          certificates: [{ io: everyByte, filename: 'every byte' }, text('b'), text('c')],
        })
        await done.commit()
        assert.deepEqual(await rows('notes'), { notes: 1 })
        const user = storage.record('User', id)
        assert.equal((await user.photo.latest())?.filename, '📷 履歴書.bin')
        assert.deepEqual(await storage.drain({ throwOnError: true }), {
          uploaded: 2,
          retried: 0,
          failed: 0,
          remaining: 0,
        })
        const photo = await user.photo.attachment()
        assert.equal(photo?.filename, '📷 履歴書.bin')
        assert.ok((await photo.download()).equals(big))
        const certificates = await user.certificates.attachments()
        assert.ok((await certificates[0]!.download()).equals(everyByte))
        assert.ok([photo, photo.blob, ...certificates].every((each) => BigInt(each.id) >= first))
        assert.equal(new Set([photo, ...certificates].map((each) => each.id)).size, 4)

        // Ids beside it are others, which a double would not tell apart.
        for (const beside of [id - 1n, id + 1n])
          assert.deepEqual(await storage.record('User', beside).certificates.attachments(), [])
        assert.equal(
          await user.certificates.attachLater({ deletedIds: [certificates[1]!.id] }),
          null,
        )
        assert.deepEqual(names(await user.certificates.attachments()), ['every byte', 'c.txt'])
        await user.photo.attach(text('direct'))
        assert.equal((await (await user.photo.attachment())?.download())?.toString(), 'direct')
        await storage.drain({ throwOnError: true })
        assert.equal(service.objects.size, 3)

        await storage.transaction((tx) =>
          storage.record('User', id, { transaction: tx }).photo.purge(),
        )
        await user.certificates.purgeLater()
        await storage.drain({ throwOnError: true })
        assert.deepEqual(await rows(...railsTables, ...ourTables), {})
        assert.equal(service.objects.size, 0)
      },
    )

    await t.test('a worker starts, uploads while the app works, and stops', async () => {
      const worker = storage.work({ concurrency: 3 })
      for (let id = 1; id <= 3; id += 1) {
        const user = await app.begin()
        await storage.record('User', id, { transaction: user.tx }).photo.attachLater(text(`${id}`))
        await user.commit()
        await storage.transaction((tx) =>
          storage
            .record('User', id, { transaction: tx })
            .certificates.attachLater([text('a'), text('b')]),
        )
      }
      while ((await storage.delayedUploads.list()).length > 0) await delay(5)
      await worker.stop()
      for (let id = 1; id <= 3; id += 1) {
        const user = storage.record('User', id)
        assert.deepEqual(
          names([...(await user.certificates.attachments()), (await user.photo.attachment())!]),
          ['a.txt', 'b.txt', `${id}.txt`],
        )
      }
      assert.deepEqual(await rows('activestorage_delayed_workers'), {})
    })
  })

for (const driver of sqliteDrivers)
  test(
    `${driver.name}: a transaction of the app that was not passed in is waited for, not joined`,
    { timeout: 30_000 },
    async (t) => {
      const app = await opened(t, driver)
      if (app === null) return
      const { storage, handle } = app
      const user = storage.record('User', 1)
      handle.exec('begin immediate')
      handle.exec('insert into notes values (1)')
      const waits = afterShortWaits(t, 10)
      const calls = [
        user.photo.attachLater(text('x')),
        user.certificates.attach(text('y')),
        user.photo.attachment(),
        storage.stage(text('z')),
        storage.drain(),
      ]
      const settled: number[] = []
      calls.forEach((call, index) => void call.then(() => settled.push(index)))
      await waits
      assert.deepEqual(settled, [])
      handle.exec('rollback')
      await Promise.all(calls)
      await storage.drain()
      assert.deepEqual(
        await app.rows('notes', 'activestorage_delayed_files', 'active_storage_attachments'),
        {
          activestorage_delayed_files: 2,
          active_storage_attachments: 2,
        },
      )
    },
  )

for (const driver of sqliteDrivers)
  test(
    `${driver.name}: a call without { transaction } is refused in storage.transaction, not after it`,
    { timeout: 5_000 },
    async (t) => {
      const app = await opened(t, driver)
      if (app === null) return
      const { storage } = app
      let later: Promise<unknown> = Promise.resolve()
      await storage.transaction(async (tx) => {
        await storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x'))
        for (const call of [
          () => storage.record('User', 1).photo.attachLater(text('y')),
          () => storage.record('User', 1).photo.attachment(),
          () => storage.stage(text('y')),
          () => storage.transaction(() => Promise.resolve()),
        ])
          await assert.rejects(call(), { ...configuration, message: /Pass \{ transaction: tx \}/ })
        later = delay(20).then(() => storage.record('User', 2).photo.attach(text('z')))
      })
      await later
      assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
      assert.deepEqual(await app.rows('active_storage_attachments'), {
        active_storage_attachments: 2,
      })
    },
  )

for (const driver of sqliteDrivers)
  test(`${driver.name}: statements of the app are never part of our transactions`, async (t) => {
    const app = await opened(t, driver)
    if (app === null) return
    const { storage, handle } = app
    let working = true
    let notes = 0
    const insert = (): void => {
      handle.exec('insert into notes values (1)')
      notes += 1
    }
    const appWorks = async (pause: () => Promise<unknown>): Promise<void> => {
      while (working) {
        insert()
        handle.exec('begin immediate')
        insert()
        handle.exec('commit')
        await pause()
      }
    }
    const turn = (): Promise<unknown> => new Promise(setImmediate)
    const pauses = [
      () => delay(1),
      turn,
      () => turn().then(() => storage.record('User', 1).photo.attachment()),
    ]
    const appWork = pauses.map((pause) => appWorks(pause))
    for (let round = 0; round < 4; round += 1) {
      const user = storage.record('User', round)
      await user.few.attach(text('x'))
      // Rolls back.
      const refused = assert.rejects(user.few.attach(text('y')), { code: 'TOO_MANY_FILES' })
      await Promise.all([
        refused,
        user.photo.attachLater(text('x')),
        user.certificates.attach(text('y')),
        storage.drain(),
      ])
    }
    working = false
    await Promise.all(appWork)
    assert.ok(notes > 20)
    assert.deepEqual(await app.rows('notes'), { notes })
  })

test(
  'pg with a pool of one connection: the worker listens on another one, and hears commits',
  { timeout: 20_000 },
  async (t) => {
    const made = await postgresDatabase()
    if (made === null) return t.skip(noServer('PostgreSQL'))
    const uploaded = Promise.withResolvers<void>()
    const listening = {
      User: { photo: hasOneAttached({ afterUploadAll: () => uploaded.resolve() }) },
    }
    const service = switchable()
    const pool = new pg.Pool({ connectionString: made.url, max: 1 })
    pool.on('error', () => undefined)
    const storage = storageOn(postgres(pool), listening, service)
    const elsewhere = storageOn(postgres(made.url), listening, service)
    t.after(async () => {
      await Promise.all([storage.close(), elsewhere.close()])
      await pool.end()
      await made.close()
    })
    await storage.migrate()
    const listeners = async (): Promise<number> => {
      const { rows } = await pool.query(
        "select count(*)::int as n from pg_stat_activity where datname = current_database() and query like 'listen %' and state = 'idle'",
      )
      return (rows[0] as { n: number }).n
    }
    const worker = storage.work()
    while ((await listeners()) === 0) await delay(5)
    // Until its first looks are over: the next one by itself is half a minute away.
    while (pool.idleCount < pool.totalCount || pool.waitingCount > 0) await delay(5)
    await elsewhere.record('User', 1).photo.attachLater(text('x'))
    await uploaded.promise
    assert.equal(pool.totalCount, 1)
    await worker.stop()
    while ((await listeners()) > 0) await delay(5)
    assert.equal(await storage.record('User', 1).photo.attached(), true)
  },
)

test('pg: a statement that was reported as failed holds no lock any more', async (t) => {
  const made = await postgresDatabase()
  if (made === null) {
    t.skip(noServer('PostgreSQL'))
    return
  }
  const database = postgres(made.url)
  t.after(async () => {
    await database.close()
    await made.close()
  })
  const run = (sql: string) => database.executor.run(sql, [])
  await run('create table fenced (id int primary key, other int unique)')
  await run('insert into fenced select n, n from generate_series(1, 200) n')
  for (let round = 0; round < 100; round += 1) {
    // Two connections, so that what follows need not wait for the one that failed.
    await Promise.all([run('select pg_sleep(0.002)'), run('select pg_sleep(0.002)')])
    await assert.rejects(
      run('update fenced set other = case when id = 200 then 199 else other end'),
    )
    assert.equal((await run('select id from fenced for update skip locked')).rows.length, 200)
  }
})
