// Forces races: holds transactions open, holds calls and statements, and shows that one waits.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DatabaseSync,
  type SQLInputValue,
  type StatementResultingChanges,
  type StatementSync,
} from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import mariadb from 'mariadb'
import pg from 'pg'
import { mysql, type MysqlPool } from '../../src/database/mysql.ts'
import { postgres } from '../../src/database/postgres.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import {
  hasManyAttached,
  hasOneAttached,
  type Models,
  type RecordAttachments,
} from '../../src/index.ts'
import type { Database, Service } from '../../src/adapters.ts'
import { memory, type MemoryService } from '../../src/services/memory.ts'
import { accountOf, mariadbDatabase, postgresDatabase, closeDatabases } from './databases.ts'
import { storageOn } from './storage.ts'

/** One isolation level of one database: what the app's own transactions run at. */
export interface Level {
  readonly dialect: 'PostgreSQL' | 'MariaDB' | 'SQLite'
  readonly isolation: string
  readonly name: string
}
const at = (dialect: Level['dialect'], ...isolations: readonly string[]): Level[] =>
  isolations.map((isolation) => ({ dialect, isolation, name: `${dialect}, ${isolation}` }))

const everyLevel: readonly Level[] = [
  ...at('PostgreSQL', 'read committed', 'repeatable read', 'serializable'),
  ...at('MariaDB', 'read uncommitted', 'read committed', 'repeatable read', 'serializable'),
  ...at('SQLite', 'immediate', 'deferred'),
]
/**
 * The levels that databases have by default, and the strictest; `npm run proof:races` takes every
 * one.
 */
export const levels: readonly Level[] =
  process.env['TEST_LEVELS'] === 'all'
    ? everyLevel
    : [
        ...at('PostgreSQL', 'read committed', 'serializable'),
        ...at('MariaDB', 'repeatable read'),
        ...at('SQLite', 'immediate'),
      ]

/** Isolation levels of tests without a transaction of the app: one for each database. */
export const databases: readonly Level[] = [
  ...at('PostgreSQL', 'read committed'),
  ...at('MariaDB', 'read committed'),
  ...at('SQLite', 'immediate'),
]

/** A point that a call reached and where it waits. */
export interface Hold {
  readonly reached: Promise<void>
  /** Until it is reached. Fails when what should get there is over before. */
  reachedBy(running: Promise<unknown>): Promise<void>
  open(): void
}
class Holds {
  readonly #armed: {
    readonly matches: (point: string) => boolean
    readonly reached: () => void
    readonly gate: Promise<void>
  }[] = []
  readonly #gates: (() => void)[] = []

  arm(matches: (point: string) => boolean): Hold {
    const reached = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    this.#armed.push({ matches, reached: reached.resolve, gate: gate.promise })
    this.#gates.push(gate.resolve)
    const missed = (): never =>
      assert.fail('it was over before it got to the point where it is held')
    return {
      reached: reached.promise,
      reachedBy: (running) => Promise.race([reached.promise, running.then(missed)]),
      open: gate.resolve,
    }
  }
  /** Called at a point: the oldest hold that is armed for it is used up, and waited for. */
  async pass(point: string): Promise<void> {
    const index = this.#armed.findIndex(({ matches }) => matches(point))
    const [hold] = index < 0 ? [] : this.#armed.splice(index, 1)
    hold?.reached()
    await hold?.gate
  }
  openAll(): void {
    for (const open of this.#gates) open()
    this.#armed.length = 0
  }
}

/**
 * Points at which a call to the service, or a hook, can be held: before and after the bytes are
 * stored, before they are deleted.
 */
type Point = 'upload' | 'uploaded' | 'delete' | 'afterUpload'

export interface HeldService extends Service {
  readonly objects: MemoryService['objects']
  uploads: number
  /** The next uploads fail after their bytes were stored. */
  failures: number
}

function heldService(holds: Holds): HeldService {
  const inner = memory()
  const service: HeldService = {
    ...inner,
    uploads: 0,
    failures: 0,
    async upload(key, body, options) {
      service.uploads += 1
      await holds.pass('upload')
      await inner.upload(key, body, options)
      await holds.pass('uploaded')
      if (service.failures > 0) {
        service.failures -= 1
        throw new Error('the answer of the service was lost')
      }
    },
    async delete(key, options) {
      await holds.pass('delete')
      await inner.delete(key, options)
    },
  }
  return service
}

const modelsWith = (holds: Holds) => ({
  User: {
    photo: hasOneAttached({ afterUpload: () => holds.pass('afterUpload') }),
    cover: hasOneAttached(),
    certificates: hasManyAttached(),
    few: hasManyAttached({ maxFiles: 2 }),
  },
})
const storageWith = (database: Database<never>, holds: Holds, service: Service) =>
  storageOn(database, modelsWith(holds), service)
export type Storage = ReturnType<typeof storageWith>

/** Statements that can be held, before they are sent or when they are answered. */
interface Held {
  holdBefore(sql: RegExp): Hold
  holdAfter(sql: RegExp): Hold
}
const held = (holds: Holds): Held => ({
  holdBefore: (sql) =>
    holds.arm((point) => point.startsWith('before ') && sql.test(point.slice(7))),
  holdAfter: (sql) => holds.arm((point) => point.startsWith('after ') && sql.test(point.slice(6))),
})

function holding(database: Database<never>, holds: Holds): Database<never> {
  const over = (executor: Database<never>['executor']): Database<never>['executor'] => ({
    async run(sql, parameters) {
      const plain = sql.replaceAll(/["`]|active_storage_|activestorage_delayed_/g, '').trim()
      await holds.pass(`before ${plain}`)
      const result = await executor.run(sql, parameters)
      await holds.pass(`after ${plain}`)
      return result
    },
  })
  return {
    ...database,
    executor: over(database.executor),
    transaction: (run) =>
      database.transaction((open) => run({ tx: open.tx, executor: over(open.executor) })),
    join: (tx) => over(database.join(tx)),
  }
}

type Row = Readonly<Record<string, unknown>>

/** The app's own connection: a transaction is begun on it by hand. */
interface Connection {
  readonly tx: unknown
  /** On SQLite the handle is the database; elsewhere any storage takes the transaction. */
  readonly database: Database<never> | null
  run(sql: string): Promise<readonly Row[]>
  end(): Promise<unknown>
}

interface Opened {
  readonly database: Database<never>
  end(): Promise<unknown>
}

interface Server {
  /** A connection that reads from outside of the transactions, in autocommit. */
  readonly control: Pick<Connection, 'run'>
  /**
   * One pool for all storages without wishes of their own: to the server, processes are
   * connections. SQLite: each needs a handle.
   */
  readonly shared: Opened | null
  connect(): Promise<Connection>
  /** A database for a storage of its own, which the test ends. */
  open(options?: { readonly max?: number; readonly initSql?: string }): Opened
  begin(isolation: string): readonly string[]
  /** Returns whether a statement waits for a lock right now. */
  waiting(): Promise<boolean>
  /**
   * Ends every other connection: a test that failed in the middle must not hold the next one up.
   */
  interrupt(): Promise<unknown>
  close(): Promise<unknown>
}

/**
 * Milliseconds after which waiting for a connection of a pool is an error: what holds one and waits
 * for another would wait for ever.
 */
const PATIENCE = 3_000

async function postgresServer(): Promise<Server | null> {
  const made = await postgresDatabase()
  if (made === null) return null
  const { url } = made
  const control = new pg.Client({ connectionString: url })
  await control.connect()
  const opened = (max: number): Opened => {
    const pool = new pg.Pool({ connectionString: url, max, connectionTimeoutMillis: PATIENCE })
    pool.on('error', () => undefined)
    return { database: postgres(pool) as unknown as Database<never>, end: () => pool.end() }
  }
  const shared = opened(20)
  return {
    control: { run: async (sql) => (await control.query<Row>(sql)).rows },
    shared,
    async connect() {
      const client = new pg.Client({ connectionString: url })
      client.on('error', () => undefined)
      await client.connect()
      return {
        tx: client,
        database: null,
        run: async (sql) => (await client.query<Row>(sql)).rows,
        end: () => client.end(),
      }
    },
    open: ({ max = 5 } = {}) => opened(max),
    begin: (isolation) => [`begin isolation level ${isolation}`],
    waiting: async () =>
      ((
        await control.query(
          "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
      ).rowCount ?? 0) > 0,
    interrupt: () =>
      control.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      ),
    async close() {
      await shared.end()
      await control.end()
      await made.close()
    },
  }
}

async function mariadbServer(): Promise<Server | null> {
  const made = await mariadbDatabase()
  if (made === null) return null
  const account = accountOf(made.url)
  const { admin: control } = made
  const threads = async (): Promise<Set<string>> =>
    new Set(
      (
        await control.query<{ id: unknown }[]>(
          `select id from information_schema.processlist where db = '${account.database}'`,
        )
      ).map(({ id }) => String(id)),
    )
  const opened = (max: number, initSql = 'select 1'): Opened => {
    const pool = mariadb.createPool({
      ...account,
      connectionLimit: max,
      minimumIdle: 1,
      acquireTimeout: PATIENCE,
      initSql,
    })
    return {
      database: mysql(pool as unknown as MysqlPool) as unknown as Database<never>,
      end: () => pool.end(),
    }
  }
  const shared = opened(20)
  const outside = await mariadb.createConnection(account)
  return {
    control: { run: async (sql) => (await outside.query<Row[]>(sql)) ?? [] },
    shared,
    async connect() {
      const connection = await mariadb.createConnection(account)
      connection.on('error', () => undefined)
      return {
        tx: connection,
        database: null,
        run: async (sql) => (await connection.query<Row[]>(sql)) ?? [],
        end: () => connection.end(),
      }
    },
    open: ({ max = 5, initSql } = {}) => opened(max, initSql),
    begin: (isolation) => [`set transaction isolation level ${isolation}`, 'start transaction'],
    // Not information_schema.innodb_trx: what it shows is not renewed while somebody keeps reading
    // it.
    async waiting() {
      const [status] = await control.query<{ Status: string }[]>('show engine innodb status')
      const ours = await threads()
      return (status?.Status ?? '')
        .split('---TRANSACTION')
        .some(
          (part) => part.includes('LOCK WAIT') && ours.has(/thread id (\d+)/.exec(part)?.[1] ?? ''),
        )
    },
    async interrupt() {
      for (const id of await threads())
        if (id !== String(outside.threadId))
          await control.query(`kill ${id}`).catch(() => undefined)
    },
    async close() {
      await shared.end()
      await outside.end()
      await made.close()
    },
  }
}

async function sqliteServer(): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'asd-races-'))
  const path = join(folder, 'test.db')
  let refused = 0
  let seen = 0
  const counted = <T>(run: () => T): T => {
    try {
      return run()
    } catch (error) {
      refused += 1
      throw error
    }
  }
  /**
   * Counts refused statements, because SQLite has no waiting: statements are refused, and tried
   * again.
   */
  class Handle extends DatabaseSync {
    override exec(sql: string): void {
      counted(() => super.exec(sql))
    }
    override prepare(sql: string): StatementSync {
      const statement = super.prepare(sql)
      const run: (...parameters: SQLInputValue[]) => StatementResultingChanges =
        statement.run.bind(statement)
      statement.run = (...parameters: unknown[]) =>
        counted(() => run(...(parameters as SQLInputValue[])))
      return statement
    }
  }
  const opened = (): Opened & { readonly handle: Handle } => {
    const handle = new Handle(path, { timeout: 0 })
    handle.exec('pragma journal_mode = wal')
    return {
      handle,
      database: sqlite(handle) as unknown as Database<never>,
      end: () => Promise.resolve(handle.close()),
    }
  }
  const over =
    (handle: Handle) =>
    async (sql: string): Promise<readonly Row[]> =>
      sql.startsWith('select') ? handle.prepare(sql).all() : (handle.exec(sql), [])
  const control = opened()
  return {
    control: { run: over(control.handle) },
    shared: null,
    connect() {
      const { handle, database, end } = opened()
      return Promise.resolve({ tx: handle, database, end, run: over(handle) })
    },
    open: opened,
    begin: (isolation) => [`begin ${isolation}`],
    waiting() {
      const since = refused - seen
      seen = refused
      return Promise.resolve(since > 0)
    },
    interrupt: () => Promise.resolve(),
    async close() {
      await control.end()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const servers = new Map<string, Promise<Server | null>>()
const serverOf = (dialect: Level['dialect']): Promise<Server | null> => {
  const made =
    servers.get(dialect) ??
    { PostgreSQL: postgresServer, MariaDB: mariadbServer, SQLite: sqliteServer }[dialect]()
  servers.set(dialect, made)
  return made
}

/** Closes the servers. Call it after the last test of a file. */
export async function closeServers(): Promise<void> {
  for (const server of servers.values()) await (await server)?.close()
  await closeDatabases()
}

/** A transaction of the app's own, on its own connection. */
export interface User extends Held {
  readonly tx: never
  record(id: number): RecordAttachments<ReturnType<typeof modelsWith>['User']>
  run(sql: string): Promise<unknown>
  /**
   * A look at the record, as apps take one first: above read committed, what it shows is what this
   * transaction sees.
   */
  read(id?: number): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
}

const tables: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['attachments', 'variant_records', 'blobs'].map((name) => [name, `active_storage_${name}`]),
  ),
  ...Object.fromEntries(
    ['chunks', 'files', 'uploads', 'jobs', 'workers'].map((name) => [
      name,
      `activestorage_delayed_${name}`,
    ]),
  ),
}
const withTables = (sql: string): string =>
  sql.replaceAll(/\{(\w+)\}/g, (_, name: string) => tables[name] ?? name)
const migrated = new Set<Server>()

export type App = Awaited<ReturnType<typeof start>>

async function start(t: TestContext, level: Level, server: Server) {
  const ends: (() => Promise<unknown>)[] = []
  const begun: Promise<unknown>[] = []
  const open = new Set<User>()
  const all: Holds[] = []
  const newPoints = (): Holds => all[all.push(new Holds()) - 1] ?? new Holds()
  const holds = newPoints()
  const service = heldService(holds)
  const { control } = server
  const shared = server.shared ?? server.open()
  if (server.shared === null) ends.push(shared.end)
  /** Returns the result of `make` on a database that can be held. It is closed with the test. */
  const opened = <S extends { close(): Promise<void> }>(
    make: (database: Database<never>) => S,
    options?: Parameters<Server['open']>[0],
  ): S & Held & { readonly database: Database<never> } => {
    const { database: plain, end } =
      options === undefined && server.shared !== null
        ? { ...server.shared, end: () => Promise.resolve() }
        : server.open(options)
    const points = newPoints()
    const database = holding(plain, points)
    const made = make(database)
    ends.push(async () => {
      await made.close()
      await end()
    })
    return Object.assign(made, held(points), { database })
  }
  /** Another process, as far as the database can tell. */
  const another = (options?: Parameters<Server['open']>[0]) =>
    opened((database) => storageWith(database, holds, service), options)
  /** A process of an app with attachments, options or a service of its own. */
  const anotherWith = <const M extends Models>(
    models: M,
    options: object = {},
    own: Service = service,
  ) => opened((database) => storageOn(database, models, own, options))
  const storage = another()
  if (!migrated.has(server)) await storage.migrate()
  migrated.add(server)
  for (const table of Object.values(tables)) await control.run(`delete from ${table}`)

  t.after(async () => {
    for (const points of all) points.openAll()
    const ending = (async () => {
      for (const user of open) await user.rollback()
      await Promise.allSettled(begun)
    })()
    const patience = setTimeout(() => void server.interrupt(), PATIENCE)
    await ending
    clearTimeout(patience)
    for (const end of ends) await end()
  })

  /** Begins something that is awaited later; what fails meanwhile fails where it is awaited. */
  const begin = <T>(run: () => Promise<T>): Promise<T> => {
    const promise = run()
    begun.push(promise.catch(() => undefined))
    return promise
  }
  const settledOrWaiting = async (promise: Promise<unknown>): Promise<'settled' | 'waiting'> => {
    let settled = false
    promise.then(
      () => (settled = true),
      () => (settled = true),
    )
    await server.waiting()
    for (;;) {
      if (settled) return 'settled'
      if (await server.waiting()) return 'waiting'
      await delay(5)
    }
  }

  const beginTransaction = async (): Promise<User> => {
    const connection = await server.connect()
    const points = newPoints()
    const joined = storageWith(
      holding(connection.database ?? shared.database, points),
      holds,
      service,
    )
    let over = false
    const end = async (how: 'commit' | 'rollback'): Promise<void> => {
      if (over) return
      over = how === 'rollback'
      try {
        points.openAll()
        await connection.run(how).catch((error: unknown) => {
          if (how === 'commit') throw error
        })
        over = true
      } finally {
        if (over) {
          open.delete(user)
          await connection.end()
        }
      }
    }
    const tx = connection.tx as never
    const record = (id: number) => joined.record('User', id, { transaction: tx })
    const user: User = {
      ...held(points),
      tx,
      record,
      run: (sql) => connection.run(withTables(sql)),
      read: async (id = 1) => void (await record(id).certificates.attachments()),
      commit: () => end('commit'),
      rollback: () => end('rollback'),
    }
    open.add(user)
    try {
      for (const sql of server.begin(level.isolation)) await connection.run(sql)
    } catch (error) {
      await user.rollback()
      throw error
    }
    return user
  }

  const app = {
    storage,
    service,
    another,
    anotherWith,
    begin,
    /** The oldest point that is armed is used up by the next call that gets there. */
    hold: (point: Point): Hold => holds.arm((each) => each === point),
    /** Outside of all transactions. Tables are named in braces. */
    query: (sql: string): Promise<readonly Row[]> => control.run(withTables(sql)),
    /** Number of times that a transaction of the app had to be run again. */
    retries: 0,
    /** A transaction that the test commits by hand. */
    open: beginTransaction,
    /** Runs a transaction as an app would: again from the start after an error that may pass. */
    async transaction<T>(run: (user: User) => Promise<T>): Promise<T> {
      for (let attempt = 1; ; attempt += 1) {
        let user: User | undefined
        try {
          user = await beginTransaction()
          const result = await run(user)
          await user.commit()
          return result
        } catch (error) {
          await user?.rollback()
          if (attempt > 500 || !shared.database.isTransient(error)) throw error
          app.retries += 1
          await delay(5)
        }
      }
    },
    /** Until it waits for a lock, or is over. */
    settledOrWaiting,
    /** Until it waits for a lock. Fails when it came through. */
    async waits(promise: Promise<unknown>): Promise<void> {
      assert.equal(
        await settledOrWaiting(promise),
        'waiting',
        'it should wait for the other transaction',
      )
    },
    /** Runs as far as it gets: to its end, or to where it waits for whoever called this. */
    async meanwhile<T>(
      run: () => Promise<T>,
    ): Promise<{ readonly done: Promise<T>; readonly waited: boolean }> {
      const done = begin(run)
      return { done, waited: (await settledOrWaiting(done)) === 'waiting' }
    },
    /** Filenames, oldest attachment first. */
    async attached(id: number, name: string): Promise<string[]> {
      const rows = await app.query(
        `select b.filename from {attachments} a join {blobs} b on b.id = a.blob_id where a.record_id = ${id} and a.name = '${name}' order by a.id`,
      )
      return rows.map((row) => String(row['filename']))
    },
    async makeDue(): Promise<void> {
      await app.query("update {jobs} set run_at = 0 where state = 'pending'")
      await app.query("update {uploads} set run_at = 0 where state = 'pending'")
    },
    /**
     * Lets everything happen, however late it is due, and shows that nothing is left over and
     * nothing lacks its bytes.
     */
    async finish(): Promise<void> {
      for (let round = 0; round < 20; round += 1) {
        await app.makeDue()
        await storage.drain()
        if (
          (await app.query('select token from {uploads} union all select id from {jobs}'))
            .length === 0
        )
          break
      }
      assert.deepEqual(
        await app.query('select token, state, last_error from {uploads}'),
        [],
        'uploads are left',
      )
      assert.deepEqual(
        await app.query('select name, state, last_error from {jobs}'),
        [],
        'jobs are left',
      )
      const chunks = await app.query(
        "select c.file_id from {chunks} c join {files} f on f.id = c.file_id where f.state <> 'staged' or f.upload_token is not null",
      )
      assert.deepEqual(chunks, [], 'bytes are left in the database')
      const blobs = (await app.query('select * from {blobs}'))
        .map((row) => String(row['key']))
        .toSorted()
      assert.deepEqual([...service.objects.keys()].toSorted(), blobs, 'objects and blobs differ')
    },
    /** Asserts that nothing is left over and no blob is unattached. */
    async finishTidy(): Promise<void> {
      await app.finish()
      assert.deepEqual(
        await app.query(
          'select filename from {blobs} b where not exists (select 1 from {attachments} a where a.blob_id = b.id)',
        ),
        [],
        'blobs are left',
      )
    },
  }
  return app
}

/** A test at each level. */
export function atEach(
  each: readonly Level[],
  name: string,
  run: (app: App, t: TestContext) => Promise<void>,
): void {
  for (const level of each)
    test(`${level.name}: ${name}`, async (t) => {
      const server = await serverOf(level.dialect)
      if (server === null) return t.skip(`${level.dialect}: no server answered`)
      await run(await start(t, level, server), t)
    })
}
