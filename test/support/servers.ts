// Databases with a url, so that other processes can open them and tests can cut connections.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { mysql } from '../../src/database/mysql.ts'
import { postgres } from '../../src/database/postgres.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import type { Database } from '../../src/adapters.ts'
import { accountOf, mariadbDatabase, postgresDatabase } from './databases.ts'

export interface Server {
  /** A path, for SQLite. */
  readonly url: string
  /**
   * Ends every connection to the database but its own, and returns when they are gone. How many
   * there were.
   */
  cut(): Promise<number>
  close(): Promise<void>
}
export interface ServerKind {
  readonly name: string
  readonly why?: string
  /** null: not to be had here. */
  create(): Promise<Server | null>
}

export function openUrl(url: string): Database<never> {
  const database = url.startsWith('postgres')
    ? postgres(url)
    : url.startsWith('mysql')
      ? mysql(url)
      : sqlite(url)
  return database as unknown as Database<never>
}

/** Asks until none of them answers any more; a server needs a moment to end a connection. */
async function untilGone(
  ids: readonly number[],
  left: () => Promise<readonly number[]>,
): Promise<number> {
  for (let tries = 0; tries < 200; tries += 1) {
    const now = await left()
    if (!now.some((id) => ids.includes(id))) return ids.length
    await delay(5)
  }
  throw new Error('The server did not end its connections.')
}

export const sqliteServer: ServerKind = {
  name: 'SQLite',
  async create() {
    const folder = await mkdtemp(join(tmpdir(), 'asd-'))
    return {
      url: join(folder, 'app.db'),
      cut: () => Promise.resolve(0),
      close: () => rm(folder, { recursive: true, force: true }),
    }
  },
}

/** Servers that an app reaches over a network. */
export const networkServers: readonly ServerKind[] = [
  {
    name: 'PostgreSQL',
    why: 'no server answered and none could be brought up',
    async create() {
      const made = await postgresDatabase()
      if (made === null) return null
      const admin = new pg.Client({ connectionString: made.url })
      await admin.connect()
      const pids = async (): Promise<number[]> => {
        const { rows } = await admin.query<{ pid: number }>(
          `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
        )
        return rows.map(({ pid }) => pid)
      }
      return {
        url: made.url,
        async cut() {
          const before = await pids()
          await admin.query('select pg_terminate_backend(pid) from unnest($1::int[]) as pid', [
            before,
          ])
          return untilGone(before, pids)
        },
        async close() {
          await admin.end()
          await made.close()
        },
      }
    },
  },
  {
    name: 'MariaDB',
    why: 'no server answered',
    async create() {
      const made = await mariadbDatabase()
      if (made === null) return null
      const { url, admin, close } = made
      const { database: name } = accountOf(url)
      const ids = async (): Promise<number[]> => {
        const rows = await admin.query<{ id: bigint | number }[]>(
          'select id from information_schema.processlist where db = ?',
          [name],
        )
        return rows.map(({ id }) => Number(id))
      }
      return {
        url,
        async cut() {
          const before = await ids()
          // A connection that has just ended is no error.
          for (const id of before) await admin.query(`kill ${id}`).catch(() => undefined)
          return untilGone(before, ids)
        },
        close,
      }
    },
  },
]
