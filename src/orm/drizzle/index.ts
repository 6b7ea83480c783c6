import { sql, type SQL } from 'drizzle-orm'
import type { Database, Dialect } from '../../database/database.ts'
import type { Parameter, Result, Row } from '../../database/executor.ts'
import { PLACEHOLDER_MARK } from '../../database/placeholders.ts'
import { sqlite, type SqliteHandle } from '../../database/sqlite.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'

/** What `db.transaction(async (tx) => …)` hands over. */
export type DrizzleTransaction<D> = D extends {
  // oxlint-disable-next-line typescript/no-explicit-any -- inferred from a dialect's own options
  transaction(run: (tx: infer T) => any, ...rest: any[]): any
}
  ? T
  : never

/** A Drizzle of PostgreSQL or MySQL, or one of its transactions. */
interface DrizzleSession {
  execute(query: SQL): Promise<unknown>
  rollback?(): never
  transaction<T>(run: (tx: DrizzleSession) => Promise<T>, options?: object): Promise<T>
  readonly session?: { readonly client?: { getTransactionStatus?(): string | null } }
}

/**
 * An app's Drizzle: its connections carry the library's statements, and its transactions are the app's own. On SQLite, where
 * Drizzle's own transactions cannot wait for anything, use `storage.transaction(async (tx) => …)`: `tx` is a Drizzle.
 * Throws ConfigurationError for a driver that it does not know, and for Drizzle before 0.45.
 *
 * @example
 * declare const db: import('drizzle-orm/node-postgres').NodePgDatabase
 * const { drizzle } = await import('activestorage-delayed/drizzle')
 * const storage = createActiveStorage({ database: drizzle(db), services, models })
 * await storage.transaction(async (tx) => {
 *   await tx.execute("update users set name = 'Ada' where id = 1")
 *   await storage.record('User', 1, { transaction: tx }).photo.attachLater(file)
 * })
 */
export function drizzle<D extends object>(db: D): Database<DrizzleTransaction<D>> {
  const dialect = dialectOf(db)
  requireVersion('drizzle()', 'drizzle-orm', '0.45.0')
  if (dialect === 'sqlite') return createHandleDatabase(db)
  const own = db as unknown as DrizzleSession
  return bridgeDatabase<DrizzleSession>({
    dialect,
    placeholders: 'marked',
    run: async (tx, text, parameters) =>
      toResult(await (tx ?? own).execute(toQuery(text, parameters))),
    transaction: (run) => own.transaction(run, { isolationLevel: 'read committed' }),
    check(tx) {
      if (typeof (tx as Partial<DrizzleSession> | undefined)?.rollback !== 'function')
        throw new ConfigurationError(
          '{ transaction } must be the tx that Drizzle hands over in db.transaction(…), not db itself.',
        )
      if (tx.session?.client?.getTransactionStatus?.() === 'I')
        throw new ConfigurationError(
          'The transaction of Drizzle is over: nothing more can be written in it.',
        )
    },
  }) as unknown as Database<DrizzleTransaction<D>>
}

/** Drizzle numbers and binds the parameters itself. */
function toQuery(text: string, parameters: readonly Parameter[]): SQL {
  const chunks = text
    .split(PLACEHOLDER_MARK)
    .flatMap((piece, index) =>
      index < parameters.length ? [sql.raw(piece), sql.param(parameters[index])] : [sql.raw(piece)],
    )
  return sql.join(chunks)
}

/** pg answers { rows, rowCount }, postgres.js a list with a count, PGlite { rows, affectedRows }, mysql2 [answer, fields]. */
function toResult(answer: unknown): Result {
  const given = answer as Partial<{
    rows: Row[]
    rowCount: number | null
    affectedRows: number
    count: number
    command: string
  }> &
    readonly unknown[]
  if (given.rows !== undefined)
    return {
      rows: given.rows,
      affected: given.command === 'SELECT' ? 0 : (given.rowCount ?? given.affectedRows ?? 0),
    }
  if (given.count !== undefined)
    return {
      rows: [...(given as unknown as Row[])],
      affected: given.command === 'SELECT' ? 0 : given.count,
    }
  const [first] = given
  if (Array.isArray(first)) return { rows: first as Row[], affected: 0 }
  return {
    rows: [],
    affected: Number((first as { affectedRows?: number } | undefined)?.affectedRows ?? 0),
  }
}

/** SQLite is one handle that Drizzle and the library share: what runs between BEGIN and COMMIT on it is the transaction. */
function createHandleDatabase<D extends object>(db: D): Database<DrizzleTransaction<D>> {
  const handle = (db as { $client?: SqliteHandle }).$client
  if (typeof handle?.prepare !== 'function')
    throw new ConfigurationError(
      'drizzle(): on SQLite it takes a Drizzle over a handle, as drizzle-orm/better-sqlite3 makes it.',
    )
  const inner = sqlite(handle)
  const database: Database<D> = {
    ...(inner as unknown as Database<D>),
    transaction: (run) => inner.transaction(({ executor }) => run({ tx: db, executor })),
    join(tx) {
      if (typeof (tx as { select?: unknown } | undefined)?.select !== 'function')
        throw new ConfigurationError(
          '{ transaction } must be the Drizzle that storage.transaction(…) hands over.',
        )
      return inner.join(handle)
    },
  }
  return database as unknown as Database<DrizzleTransaction<D>>
}

const dialectsByClass: Readonly<Record<string, Dialect>> = {
  PgDatabase: 'postgres',
  MySqlDatabase: 'mysql',
  BaseSQLiteDatabase: 'sqlite',
}

/** Drizzle names its classes by a symbol of its own, which holds where an app has it twice. */
function dialectOf(db: object): Dialect {
  for (let at: object | null = db; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const kind = (at.constructor as unknown as Record<symbol, unknown>)[
      Symbol.for('drizzle:entityKind')
    ]
    const found = dialectsByClass[String(kind)]
    if (found !== undefined) return found
  }
  throw new ConfigurationError(
    'drizzle(): pass the Drizzle of the app, on PostgreSQL, MySQL, MariaDB or SQLite.',
  )
}
