import { ConfigurationError } from '../errors/errors.ts'
import type { Dialect } from './database.ts'
import type { Executor } from './executor.ts'
import { createMysqlSchema } from './migrations/mysql.ts'
import { createPostgresSchema } from './migrations/postgres.ts'
import { createSqliteSchema } from './migrations/sqlite.ts'
import type { TableNames } from './schema.ts'
import type { RecordIdType } from './store.ts'

const MIGRATION_ATTEMPTS = 10

/** One thing that a database must have, and how to tell that it has it. */
export interface MigrationStep {
  /** Table, `table.column` or index, as `existing` names them. */
  readonly needs: string
  readonly sql: string
}

export interface DialectSchema {
  /** A table's name, as SQL takes it. */
  quote(name: string): string
  readonly steps: readonly MigrationStep[]
  /** Names of what is there: tables, `table.column`s and indexes. */
  existing(executor: Executor): Promise<ReadonlySet<string>>
  /** Serialises migrations; runs first in the transaction. */
  readonly lock: readonly string[]
  /** Reads the columns of records' ids, and on MySQL those of blobs. Columns that do not exist are left out. */
  liveColumns(executor: Executor): Promise<LiveColumns>
}

/** A column as it is in the database, which may differ from what `migrate` would make: Rails made it, or the app. */
export interface LiveColumn {
  readonly type: string
  /** MySQL: the character set of a text column. */
  readonly charset?: string
  /** MySQL: how many characters a text column takes. */
  readonly length?: number
}

/** By `table.column`. */
export type LiveColumns = ReadonlyMap<string, LiveColumn>

export interface MigrateOptions {
  readonly dialect: Dialect
  readonly tables: TableNames
  readonly recordId: RecordIdType
  readonly executor: Executor
  transaction<T>(run: (executor: Executor) => Promise<T>): Promise<T>
  isTransient(error: unknown): boolean
}

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
 * Adds what is missing and nothing else: tables that Rails or the gem made are adopted. Looks first without a lock, so
 * that starting a hundred pods costs a hundred looks.
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
        `${first.needs} was made and is not seen: look at the search path, or at how the database folds the case of names.`,
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

/** Throws ConfigurationError on tables of the time before the first release: nothing converts them. */
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

/** MySQL commits each step by itself, so that two processes may meet in one: it is there then. */
async function applyStep(executor: Executor, step: MigrationStep): Promise<void> {
  try {
    await executor.run(step.sql, [])
  } catch (error) {
    const { errno } = error as { errno?: number }
    if (errno !== 1050 && errno !== 1060 && errno !== 1061 && errno !== 1062) throw error
  }
}

/**
 * Reads the live columns. Throws ConfigurationError where one cannot hold the ids that this storage binds: a database
 * would cast them, and find another record. null: the tables are not there yet.
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
