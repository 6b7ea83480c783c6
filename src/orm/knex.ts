import type { Knex } from 'knex'
import type { Database, Dialect } from '../database/database.ts'
import type { Result, Row } from '../database/executor.ts'
import { ConfigurationError } from '../errors.ts'
import { bridged } from './bridged.ts'
import { afterCommit } from './knex-transactions.ts'

/**
 * An app's Knex, also below Objection: its connections carry the library's statements, and its transactions are the app's
 * own. Throws ConfigurationError for a client that is none of PostgreSQL's, MySQL's, MariaDB's or SQLite's.
 *
 * @example
 * declare const db: import('knex').Knex
 * const { knex } = await import('activestorage-delayed/knex')
 * const storage = createActiveStorage({ database: knex(db), services, models })
 * await db.transaction(async (trx) => {
 *   const [user] = await trx('users').insert({ name: 'Ada' }).returning('id')
 *   await storage.record('User', user.id, { transaction: trx }).photo.attachLater(file)
 * })
 */
export function knex(db: Knex): Database<Knex.Transaction> {
  const dialect = dialectOf(db)
  return bridged<Knex.Transaction>({
    dialect,
    placeholders: 'question',
    run: async (tx, sql, parameters) => resultOf(await (tx ?? db).raw(sql, parameters as Knex.RawBinding[])),
    transaction: (run) => db.transaction(run, dialect === 'sqlite' ? {} : { isolationLevel: 'read committed' }),
    check(tx) {
      const given = tx as Partial<Knex.Transaction> | undefined
      if (given?.isTransaction !== true)
        throw new ConfigurationError('{ transaction } must be the trx that Knex hands over in db.transaction(…), not db itself.')
      if (given.isCompleted?.() === true)
        throw new ConfigurationError('The transaction of Knex is over: nothing more can be written in it.')
    },
    afterCommit,
  })
}

/** Each client of Knex answers as its driver does. */
function resultOf(answer: unknown): Result {
  // mysql and mysql2: [rows or header, fields].
  const first =
    Array.isArray(answer) && (Array.isArray(answer[0]) || 'affectedRows' in ((answer[0] as object | undefined) ?? {})) ? answer[0] : answer
  if (Array.isArray(first)) return { rows: first as Row[], affected: 0 }
  const { rows, rowCount, command, affectedRows, changes } = (first ?? {}) as {
    rows?: Row[]
    rowCount?: number | null
    command?: string
    affectedRows?: number
    changes?: number
  }
  return { rows: rows ?? [], affected: command === 'SELECT' ? 0 : (rowCount ?? affectedRows ?? changes ?? 0) }
}

function dialectOf(db: Knex): Dialect {
  const { dialect, config } = (db as { client?: { dialect?: string; config?: { client?: unknown } } } | undefined)?.client ?? {}
  const name = String(dialect ?? config?.client)
  if (/postgres|^pg/i.test(name)) return 'postgres'
  if (/mysql|maria/i.test(name)) return 'mysql'
  if (config?.client === 'sqlite3')
    throw new ConfigurationError("knex(): the client 'sqlite3' does not tell how many rows a statement changed; use 'better-sqlite3'.")
  if (/sqlite/i.test(name)) return 'sqlite'
  throw new ConfigurationError(
    db === undefined || typeof (db as Partial<Knex>).raw !== 'function'
      ? 'knex(): pass the Knex of the app, such as knex({ client, connection }).'
      : `knex(): the client '${name}' is none that is known: PostgreSQL, MySQL, MariaDB and SQLite are.`,
  )
}
