import type { Knex } from 'knex'
import type { Dialect } from '../../database/database.ts'
import type { Parameter, Result } from '../../database/executor.ts'
import { PLACEHOLDER_MARK } from '../../database/placeholders.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { hasMethod, isObject } from '../object-guards.ts'
import type { KnexInternals } from './internals.ts'

/**
 * Runs one statement with a mark for each parameter. Knex looks for its `?` also in text and in
 * comments, so a `?` of the statement's own is passed as raw SQL in place of a value.
 */
export async function sendStatement(
  on: Knex,
  sql: string,
  parameters: readonly Parameter[],
): Promise<Result> {
  const isPostgres = dialectOf(on) === 'postgres'
  if (isPostgres && sql.includes('\\?'))
    throw new ConfigurationError(
      'Knex cannot send a statement with \\? in it: it drops the backslash. Pass the text as a parameter.',
    )
  const bindings: Knex.RawBinding[] = []
  const pieces = sql.split(PLACEHOLDER_MARK)
  for (const [index, piece] of pieces.entries()) {
    for (const [match] of piece.matchAll(/\\?\?\??/g))
      if (!match.startsWith('\\'))
        bindings.push(on.raw(isPostgres ? match.replaceAll('?', '\\?') : match))
    // Knex hands parameters to the driver as they are; its types leave out bigints.
    if (index < parameters.length) bindings.push(parameters[index] as Knex.RawBinding)
  }
  return toResult(await on.raw(pieces.join(' ? '), bindings))
}

/**
 * Reads the response of the driver, which Knex passes on: each of its clients has a form of its
 * own.
 */
function toResult(response: unknown): Result {
  // mysql and mysql2: [rows or header, fields].
  const [head]: readonly unknown[] = Array.isArray(response) ? response : []
  const isPair = Array.isArray(head) || (isObject(head) && 'affectedRows' in head)
  const result = isPair ? head : response
  if (Array.isArray(result)) return { rows: result, affected: 0 }
  if (!isObject(result)) return { rows: [], affected: 0 }
  const { rows, rowCount, command, affectedRows, changes } = result
  return {
    rows: Array.isArray(rows) ? rows : [],
    affected: command === 'SELECT' ? 0 : Number(rowCount ?? affectedRows ?? changes ?? 0),
  }
}

/**
 * Reads the dialect from the client's name. Throws ConfigurationError for an unknown one, and for
 * 'sqlite3', whose results lack the number of changed rows.
 */
export function dialectOf(db: KnexInternals): Dialect {
  if (!hasMethod(db, 'raw'))
    throw new ConfigurationError(
      'knex(): pass the Knex of the app, such as knex({ client, connection }).',
    )
  const { dialect, config } = db.client ?? {}
  const name = String(dialect ?? config?.client)
  if (/postgres|^pg/i.test(name)) return 'postgres'
  if (/mysql|maria/i.test(name)) return 'mysql'
  if (config?.client === 'sqlite3')
    throw new ConfigurationError(
      "knex(): the client 'sqlite3' does not report how many rows a statement changed. Use 'better-sqlite3'.",
    )
  if (/sqlite/i.test(name)) return 'sqlite'
  throw new ConfigurationError(
    `knex(): the client '${name}' is not supported. Use one for PostgreSQL, MySQL, MariaDB or SQLite.`,
  )
}
