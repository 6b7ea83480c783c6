// The databases of the tests: servers of this machine where they respond, else embedded ones.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import mariadb, { type Connection } from 'mariadb'
import pg from 'pg'
import { mysql } from '../../src/database/mysql.ts'
import { postgres } from '../../src/database/postgres.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import type { Database } from '../../src/adapters.ts'
import {
  answersPostgres,
  POSTGRES_URL,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from './embedded-postgres.ts'
import { absent } from './required-services.ts'

export interface TestDatabase {
  /** A path, for SQLite. */
  readonly url: string
  readonly database: Database<never>
  /** A second, independent connection to the same data. */
  another(): Database<never>
  /** Runs plain SQL on the open transaction. */
  execute(tx: unknown, sql: string): Promise<void>
  close(): Promise<void>
}
export interface Kind {
  readonly name: string
  /** null: not to be had here. */
  create(): Promise<TestDatabase | null>
  readonly why?: string
}

const PG = POSTGRES_URL
const MY = process.env['TEST_MYSQL_URL'] ?? 'mysql://root@127.0.0.1:3306/test'
let counter = 0
const unique = (): string => `asd_${process.pid}_${Date.now().toString(36)}_${(counter += 1)}`

let embedded: Promise<EmbeddedPostgres | null> | undefined

/**
 * URL of the machine's PostgreSQL, or of an embedded one that this process starts. null: neither.
 */
async function postgresUrl(): Promise<string | null> {
  if (await answersPostgres(PG)) return PG
  embedded ??= startEmbeddedPostgres()
  return (await embedded)?.url ?? absent('postgres', 'no PostgreSQL answered')
}

/**
 * Drops the databases of this process's tests, and stops the embedded server if this process
 * started one.
 */
export async function closeDatabases(): Promise<void> {
  const names = emptyAgain.splice(0)
  if (names.length > 0) {
    const admin = await connected(await postgresUrl())
    for (const name of names) await admin.query(`drop database ${name} with (force)`)
    await admin.end()
  }
  await (await embedded)?.stop()
}

async function connected(url: string | null): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url ?? PG })
  await client.connect()
  return client
}

/**
 * Databases that were emptied for the next test of the process, because to make and drop one takes
 * more than a second.
 */
const emptyAgain: string[] = []

/** A fresh database on PostgreSQL; null: there is no server. */
export async function postgresDatabase(): Promise<{ url: string; close(): Promise<void> } | null> {
  const base = await postgresUrl()
  if (base === null) return null
  const admin = await connected(base)
  const again = emptyAgain.pop()
  const name = again ?? unique()
  if (again === undefined) {
    await admin.query(`create database ${name}`)
    // No test of these databases stops the server, so commits need not wait for the disk.
    await admin.query(`alter database ${name} set synchronous_commit = off`)
  }
  const url = base.replace(/\/[^/]*$/, `/${name}`)
  return {
    url,
    async close() {
      if (await left(admin, name)) {
        await empty(url)
        emptyAgain.push(name)
      } else await admin.query(`drop database ${name} with (force)`)
      await admin.end()
    },
  }
}

/**
 * Waits for clients that are on their way out: one that is thrown out instead throws in the process
 * that it is of.
 */
async function left(admin: pg.Client, name: string): Promise<boolean> {
  for (
    const until = performance.now() + 2_000;
    performance.now() < until;
    await admin.query('select pg_sleep(0.01)')
  )
    if (
      (await admin.query('select from pg_stat_activity where datname = $1', [name])).rowCount === 0
    )
      return true
  return false
}

async function empty(url: string): Promise<void> {
  const client = await connected(url)
  const { rows } = await client.query<{ name: string }>(
    "select quote_ident(nspname) as name from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'",
  )
  await client.query('set client_min_messages = warning')
  for (const { name } of rows) await client.query(`drop schema ${name} cascade`)
  await client.query('create schema public')
  await client.end()
}

/**
 * A fresh database on MariaDB, and a connection that is in no database; null: there is no server.
 */
export async function mariadbDatabase(): Promise<{
  url: string
  admin: Connection
  close(): Promise<void>
} | null> {
  const { host, port, user, password } = accountOf(MY)
  const admin = await mariadb
    .createConnection({ host, port, user, password, connectTimeout: 2000 })
    .catch(() => null)
  if (admin === null) return absent('mariadb', `no MariaDB answered at ${host}:${port}`)
  const name = unique()
  await admin.query(`create database ${name}`)
  return {
    url: MY.replace(/\/[^/]*$/, `/${name}`),
    admin,
    async close() {
      await admin.query(`drop database ${name}`)
      await admin.end()
    },
  }
}

export interface Account {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}
/** Connection settings for drivers that take no url. */
export function accountOf(url: string): Account {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  const [user, secret, database] = [username, password, pathname.slice(1)].map(
    decodeURIComponent,
  ) as [string, string, string]
  return {
    host: hostname,
    port: Number(port || (protocol === 'mysql:' ? 3306 : 5432)),
    user,
    password: secret,
    database,
  }
}

export const kinds: readonly Kind[] = [
  {
    name: 'SQLite',
    async create() {
      const folder = await mkdtemp(join(tmpdir(), 'asd-'))
      const path = join(folder, 'test.db')
      return {
        url: path,
        database: sqlite(path) as unknown as Database<never>,
        another: () => sqlite(path) as unknown as Database<never>,
        execute: (tx, sql) => Promise.resolve((tx as DatabaseSync).exec(sql)),
        close: () => rm(folder, { recursive: true, force: true }),
      }
    },
  },
  {
    name: 'PostgreSQL',
    why: 'no server answered and none could be brought up',
    async create() {
      const made = await postgresDatabase()
      if (made === null) return null
      const { url, close } = made
      return {
        url,
        database: postgres(url) as unknown as Database<never>,
        another: () => postgres(url) as unknown as Database<never>,
        execute: async (tx, sql) => void (await (tx as pg.Client).query(sql)),
        close,
      }
    },
  },
  {
    name: 'MariaDB',
    why: 'no server answered',
    async create() {
      const made = await mariadbDatabase()
      if (made === null) return null
      const { url, close } = made
      return {
        url,
        database: mysql(url) as unknown as Database<never>,
        another: () => mysql(url) as unknown as Database<never>,
        execute: async (tx, sql) =>
          void (await (tx as { query(sql: string): Promise<unknown> }).query(sql)),
        close,
      }
    },
  },
]
