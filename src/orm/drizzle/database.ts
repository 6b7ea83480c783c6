import { sql, type SQL } from 'drizzle-orm'
import type { Database, Dialect } from '../../database/database.ts'
import type { Parameter, Result } from '../../database/executor.ts'
import { PLACEHOLDER_MARK } from '../../database/placeholders.ts'
import { sqlite, type SqliteHandle } from '../../database/sqlite.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { hasMethod, isObject, prototypesOf } from '../object-guards.ts'
import { entityKindOf, isFinished } from './internals.ts'

/** The `tx` of `db.transaction(async (tx) => …)`. */
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
}

const isSession = (db: object): db is DrizzleSession =>
  hasMethod(db, 'execute') && hasMethod(db, 'transaction')

const isHandle = (client: unknown): client is SqliteHandle => hasMethod(client, 'prepare')

/**
 * Creates a `database` over an app's Drizzle: the library's statements run on its connections, and
 * transactions are Drizzle's own. On SQLite Drizzle's transactions cannot wait for anything
 * asynchronous: use `storage.transaction(async (tx) => …)`, where `tx` is a Drizzle. Throws
 * ConfigurationError for an unknown driver, and for Drizzle before 0.45.
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
export function drizzle<D extends object>(db: D): Database<DrizzleTransaction<D>>
export function drizzle(db: object): object {
  const dialect = dialectOf(db)
  requireVersion('drizzle()', 'drizzle-orm', '0.45.0')
  if (dialect === 'sqlite') return createHandleDatabase(db)
  if (!isSession(db)) throw createUnknownError()
  return bridgeDatabase<DrizzleSession>({
    dialect,
    placeholders: 'marked',
    run: async (tx, text, parameters) =>
      toResult(await (tx ?? db).execute(toQuery(text, parameters))),
    transaction: (run) => db.transaction(run, { isolationLevel: 'read committed' }),
    check(tx) {
      if (!hasMethod(tx, 'rollback'))
        throw new ConfigurationError(
          '{ transaction } must be the tx that Drizzle hands over in db.transaction(…), not db itself.',
        )
      if (isFinished(tx))
        throw new ConfigurationError(
          "Drizzle's transaction is finished: nothing more can be written in it. Open a new one.",
        )
    },
  })
}

const createUnknownError = (): ConfigurationError =>
  new ConfigurationError(
    'drizzle(): pass the Drizzle of the app, on PostgreSQL, MySQL, MariaDB or SQLite.',
  )

/**
 * Builds Drizzle's form of a statement. Drizzle writes the placeholders of its driver itself, so it
 * gets the text in pieces.
 */
function toQuery(text: string, parameters: readonly Parameter[]): SQL {
  const chunks = text
    .split(PLACEHOLDER_MARK)
    .flatMap((piece, index) =>
      index < parameters.length ? [sql.raw(piece), sql.param(parameters[index])] : [sql.raw(piece)],
    )
  return sql.join(chunks)
}

/**
 * Reads the response of the driver, which Drizzle passes on. pg and PGlite return an object with
 * `rows`, postgres.js a list with a `count`, mysql2 a pair of rows (or a header) and fields.
 */
function toResult(response: unknown): Result {
  if (!isObject(response)) return { rows: [], affected: 0 }
  const { rows, rowCount, affectedRows, count, command } = response
  const affected = command === 'SELECT' ? 0 : Number(rowCount ?? affectedRows ?? count ?? 0)
  if (Array.isArray(rows)) return { rows, affected }
  if (!Array.isArray(response)) return { rows: [], affected }
  if (count !== undefined) return { rows: [...response], affected }
  const [first]: readonly unknown[] = response
  if (Array.isArray(first)) return { rows: first, affected: 0 }
  return { rows: [], affected: isObject(first) ? Number(first['affectedRows'] ?? 0) : 0 }
}

/**
 * Creates the `database` on SQLite. Drizzle and the library share one handle, and everything that
 * runs on it between BEGIN and COMMIT is in the transaction.
 */
function createHandleDatabase(db: object & { readonly $client?: unknown }): Database<object> {
  const { $client: handle } = db
  if (!isHandle(handle))
    throw new ConfigurationError(
      'drizzle(): on SQLite it takes a Drizzle over a handle, as drizzle-orm/better-sqlite3 makes it.',
    )
  const inner = sqlite(handle)
  return {
    ...inner,
    transaction: (run) => inner.transaction(({ executor }) => run({ tx: db, executor })),
    join(tx) {
      if (!hasMethod(tx, 'select'))
        throw new ConfigurationError(
          '{ transaction } must be the Drizzle that storage.transaction(…) hands over.',
        )
      return inner.join(handle)
    },
  }
}

const dialectsByClass: Readonly<Record<string, Dialect>> = {
  PgDatabase: 'postgres',
  MySqlDatabase: 'mysql',
  BaseSQLiteDatabase: 'sqlite',
}

function dialectOf(db: object): Dialect {
  for (const prototype of prototypesOf(db)) {
    const found = dialectsByClass[String(entityKindOf(prototype))]
    if (found !== undefined) return found
  }
  throw createUnknownError()
}
