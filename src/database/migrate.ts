import { ConfigurationError } from '../errors.ts'
import type { Dialect } from './database.ts'
import type { Executor } from './executor.ts'
import { mysqlSchema } from './migrations/mysql.ts'
import { postgresSchema } from './migrations/postgres.ts'
import { sqliteSchema } from './migrations/sqlite.ts'
import type { TableNames } from './schema.ts'
import type { RecordIdType } from './store.ts'

/** One thing that a database must have, and how to tell that it has it. */
export interface Step {
  /** Table, `table.column` or index, as `existing` names them. */
  readonly needs: string
  readonly sql: string
}

export interface DialectSchema {
  readonly steps: readonly Step[]
  /** Names of what is there: tables, `table.column`s and indexes. */
  existing(executor: Executor): Promise<ReadonlySet<string>>
  /** Serialises migrations; runs first in the transaction. */
  readonly lock: readonly string[]
  /** The type of attachments.record_id; null when the table is not there, or the dialect does not mind. */
  recordIdType(executor: Executor): Promise<string | null>
}

export interface MigrateOptions {
  readonly dialect: Dialect
  readonly tables: TableNames
  readonly recordId: RecordIdType
  readonly executor: Executor
  transaction<T>(run: (executor: Executor) => Promise<T>): Promise<T>
  isTransient(error: unknown): boolean
}

export function schemaOf(dialect: Dialect, tables: TableNames, recordId: RecordIdType): DialectSchema {
  if (dialect === 'postgres') return postgresSchema(tables, recordId)
  return dialect === 'sqlite' ? sqliteSchema(tables, recordId) : mysqlSchema(tables, recordId)
}

/**
 * Adds what is missing and nothing else: tables that Rails or the gem made are adopted. Looks first without a lock, so
 * that starting a hundred pods costs a hundred looks.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const schema = schemaOf(options.dialect, options.tables, options.recordId)
  const missing = async (executor: Executor): Promise<Step[]> => {
    const there = await schema.existing(executor)
    return schema.steps.filter((step) => !there.has(step.needs))
  }
  for (let attempt = 1; (await missing(options.executor)).length > 0; attempt += 1) {
    try {
      await options.transaction(async (executor) => {
        for (const statement of schema.lock) await executor.run(statement, [])
        for (const step of await missing(executor)) await apply(executor, step)
      })
    } catch (error) {
      if (attempt >= 10 || !options.isTransient(error)) throw error
      await new Promise((resolve) => setTimeout(resolve, 100 * attempt * (0.5 + Math.random())))
    }
  }
  await checkRecordId(schema, options)
}

/** MySQL commits each step by itself, so that two processes may meet in one: it is there then. */
async function apply(executor: Executor, step: Step): Promise<void> {
  try {
    await executor.run(step.sql, [])
  } catch (error) {
    const { errno } = error as { errno?: number }
    if (errno !== 1050 && errno !== 1060 && errno !== 1061 && errno !== 1062) throw error
  }
}

async function checkRecordId(schema: DialectSchema, { tables, recordId, executor }: MigrateOptions): Promise<void> {
  const type = await schema.recordIdType(executor)
  if (type === null) return
  const found: RecordIdType = /int/.test(type) ? 'bigint' : type === 'uuid' || type === 'char' ? 'uuid' : 'text'
  if (found === recordId || (found === 'text' && recordId === 'uuid')) return
  throw new ConfigurationError(
    `${tables.attachments}.record_id is ${type}, but recordId is '${recordId}': pass recordId: '${found}' to createActiveStorage.`,
  )
}
