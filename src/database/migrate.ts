import { ConfigurationError } from '../errors/errors.ts'
import type { Dialect } from './database.ts'
import { readErrorNumber } from './driver-errors.ts'
import type { Executor } from './executor.ts'
import { createMysqlSchema } from './migrations/mysql.ts'
import { createPostgresSchema } from './migrations/postgres.ts'
import { createSqliteSchema } from './migrations/sqlite.ts'
import type { TableNames } from './schema.ts'
import type { RecordIdType } from './store.ts'

const MIGRATION_ATTEMPTS = 10

/** MySQL's numbers of the errors that a table, a column, an index or a row exists already. */
const ALREADY_THERE: readonly number[] = [1050, 1060, 1061, 1062]

/** A table, column or index that the database must have, and the statement that makes it. */
export interface MigrationStep {
  /** Name of the table, `table.column` or index, as `existing` returns it. */
  readonly needs: string
  /** The statement that makes it. */
  readonly sql: string
}

/** The schema of one dialect: its steps, and the queries that read which of them are done. */
export interface DialectSchema {
  /** Quotes the name of a table. */
  quote(name: string): string
  readonly steps: readonly MigrationStep[]
  /** Reads the names of tables, `table.column`s and indexes that are there. */
  existing(executor: Executor): Promise<ReadonlySet<string>>
  /** Statements that run first in the transaction, so that one process migrates at a time. */
  readonly lock: readonly string[]
  /**
   * Reads the columns of records' ids, and on MySQL those of blobs. Columns that do not exist are
   * left out.
   */
  liveColumns(executor: Executor): Promise<LiveColumns>
}

/**
 * A column as it is in the database. It may differ from that of `migrate`, because Rails or the app
 * made it.
 */
export interface LiveColumn {
  /** The type as the database names it. */
  readonly type: string
  /** MySQL: the character set of a text column. */
  readonly charset?: string
  /** MySQL: how many characters a text column takes. */
  readonly length?: number
}

/** The columns by `table.column`. */
export type LiveColumns = ReadonlyMap<string, LiveColumn>

/** The database to migrate. */
export interface MigrateOptions {
  readonly dialect: Dialect
  readonly tables: TableNames
  readonly recordId: RecordIdType
  readonly executor: Executor
  transaction<T>(run: (executor: Executor) => Promise<T>): Promise<T>
  isTransient(error: unknown): boolean
}

/** Returns the schema for a dialect, with these names and this type of record ids. */
export function createDialectSchema(
  dialect: Dialect,
  tables: TableNames,
  recordId: RecordIdType,
): DialectSchema {
  if (dialect === 'postgres') return createPostgresSchema(tables, recordId)
  return dialect === 'sqlite'
    ? createSqliteSchema(tables, recordId)
    : createMysqlSchema(tables, recordId)
}

/**
 * Adds the missing parts of the schema. Tables that Rails or the gem made are kept. It reads first
 * without a lock, so that many processes that start at once do not wait for each other. Throws
 * ConfigurationError if the schema does not fit.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const schema = createDialectSchema(options.dialect, options.tables, options.recordId)
  const missing = async (executor: Executor): Promise<MigrationStep[]> => {
    const there = await schema.existing(executor)
    await refuseUnreleasedTables(schema, options.tables, executor, there)
    return schema.steps.filter((step) => !there.has(step.needs))
  }
  for (let attempt = 1; ; attempt += 1) {
    const [first] = await missing(options.executor)
    if (first === undefined) break
    if (attempt > MIGRATION_ATTEMPTS)
      throw new ConfigurationError(
        `${first.needs} was created but cannot be found. Check the search path, and how the database folds the case of names.`,
      )
    try {
      await options.transaction(async (executor) => {
        for (const statement of schema.lock) await executor.run(statement, [])
        for (const step of await missing(executor)) await applyStep(executor, step)
      })
    } catch (error) {
      if (attempt === MIGRATION_ATTEMPTS || !options.isTransient(error)) throw error
      await new Promise((resolve) => setTimeout(resolve, 100 * attempt * (0.5 + Math.random())))
    }
  }
  await checkColumns(schema, options, options.executor)
}

/**
 * Throws ConfigurationError for tables of a version before the first release: nothing converts
 * them.
 */
async function refuseUnreleasedTables(
  schema: DialectSchema,
  { files, locks }: TableNames,
  executor: Executor,
  existing: ReadonlySet<string>,
): Promise<void> {
  const hasOldState = async (): Promise<boolean> => {
    if (!existing.has(files)) return false
    const old = `select 1 from ${schema.quote(files)} where state = 'told' limit 1`
    return (await executor.run(old, [])).rows.length > 0
  }
  if (existing.has(`${locks}.slot`) || (await hasOldState()))
    throw new ConfigurationError(
      `${files} and its sister tables are those of an unreleased version: finish its uploads with that version, drop the tables, then migrate again.`,
    )
}

/**
 * Runs one step. MySQL commits each step by itself, so another process may have made the same
 * table, column, index or rows; such an error is ignored.
 */
async function applyStep(executor: Executor, step: MigrationStep): Promise<void> {
  try {
    await executor.run(step.sql, [])
  } catch (error) {
    if (!ALREADY_THERE.includes(readErrorNumber(error))) throw error
  }
}

/**
 * Reads the columns as they are. Throws ConfigurationError if one cannot hold the ids that this
 * storage binds: the database would cast them and find another record. null: the tables do not
 * exist yet.
 */
export async function checkColumns(
  schema: DialectSchema,
  { tables, recordId }: Pick<MigrateOptions, 'tables' | 'recordId'>,
  executor: Executor,
): Promise<LiveColumns | null> {
  const columns = await schema.liveColumns(executor)
  for (const column of [`${tables.attachments}.record_id`, `${tables.uploads}.uploadable_id`]) {
    const type = columns.get(column)?.type
    if (type === undefined || listFittingIdTypes(type).includes(recordId)) continue
    const names = listFittingIdTypes(type)
      .map((name) => `'${name}'`)
      .join(' or ')
    throw new ConfigurationError(
      `${column} is ${type}, but recordId is '${recordId}': ${names === '' ? 'change the column.' : `pass recordId: ${names} to createActiveStorage, or drop the library's tables, while nothing is in them, and migrate again.`}`,
    )
  }
  return columns.has(`${tables.attachments}.record_id`) ? columns : null
}

function listFittingIdTypes(type: string): readonly RecordIdType[] {
  if (/int/i.test(type)) return ['bigint']
  if (/^uuid$/i.test(type)) return ['uuid']
  return /char|text/i.test(type) ? ['text', 'uuid'] : []
}
