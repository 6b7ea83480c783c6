import type { Knex } from 'knex'
import type { Dialect } from '../../database/database.ts'
import type { Parameter, Result, Row } from '../../database/executor.ts'
import { PLACEHOLDER_MARK } from '../../database/placeholders.ts'
import { ConfigurationError } from '../../errors/errors.ts'

/**
 * Runs one statement with a mark for each parameter. Knex looks for its `?` also in text and in comments, so that one of
 * the statement's own is passed as raw SQL in place of a value.
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
    if (index < parameters.length) bindings.push(parameters[index] as Knex.RawBinding)
  }
  return toResult(await on.raw(pieces.join(' ? '), bindings))
}

/** Each client of Knex answers as its driver does. */
function toResult(answer: unknown): Result {
  // mysql and mysql2: [rows or header, fields].
  const first =
    Array.isArray(answer) &&
    (Array.isArray(answer[0]) || 'affectedRows' in ((answer[0] as object | undefined) ?? {}))
      ? answer[0]
      : answer
  if (Array.isArray(first)) return { rows: first as Row[], affected: 0 }
  const { rows, rowCount, command, affectedRows, changes } = (first ?? {}) as {
    rows?: Row[]
    rowCount?: number | null
    command?: string
    affectedRows?: number
    changes?: number
  }
  return {
    rows: rows ?? [],
    affected: command === 'SELECT' ? 0 : (rowCount ?? affectedRows ?? changes ?? 0),
  }
}

export function dialectOf(db: Knex): Dialect {
  const { dialect, config } =
    (db as { client?: { dialect?: string; config?: { client?: unknown } } } | undefined)?.client ??
    {}
  const name = String(dialect ?? config?.client)
  if (/postgres|^pg/i.test(name)) return 'postgres'
  if (/mysql|maria/i.test(name)) return 'mysql'
  if (config?.client === 'sqlite3')
    throw new ConfigurationError(
      "knex(): the client 'sqlite3' does not tell how many rows a statement changed; use 'better-sqlite3'.",
    )
  if (/sqlite/i.test(name)) return 'sqlite'
  throw new ConfigurationError(
    db === undefined || typeof (db as Partial<Knex>).raw !== 'function'
      ? 'knex(): pass the Knex of the app, such as knex({ client, connection }).'
      : `knex(): the client '${name}' is none that is known: PostgreSQL, MySQL, MariaDB and SQLite are.`,
  )
}
