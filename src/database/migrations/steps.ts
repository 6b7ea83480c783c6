import type { Executor } from '../executor.ts'
import type { MigrationStep } from '../migrate.ts'

/** An index of PostgreSQL or SQLite. */
export interface IndexDefinition {
  readonly name: string
  readonly table: string
  /** The columns as SQL lists them: `a, b`. */
  readonly columns: string
  /** Default: false. */
  readonly unique?: boolean
  /** The condition of a partial index. */
  readonly where?: string
}

/**
 * Creates the step that makes an index, if there is none of its name. `schema`, with its dot, comes
 * before the name by which the step is looked up; the index itself is always in the schema of its
 * table.
 */
export function createIndexStep(
  quote: (name: string) => string,
  { name, table, columns, unique = false, where }: IndexDefinition,
  schema: string = '',
): MigrationStep {
  const condition = where === undefined ? '' : ` where ${where}`
  return {
    needs: schema + name,
    sql: `create ${unique ? 'unique ' : ''}index if not exists ${quote(name)} on ${quote(table)} (${columns})${condition}`,
  }
}

/**
 * Creates the steps that add columns to a table that another version, or the gem, made. `add` is
 * the dialect's clause.
 */
export function createColumnSteps(
  quote: (name: string) => string,
  table: string,
  columns: readonly (readonly [name: string, type: string])[],
  add: string = 'add column',
): readonly MigrationStep[] {
  return columns.map(([name, type]) => ({
    needs: `${table}.${name}`,
    sql: `alter table ${quote(table)} ${add} ${name} ${type}`,
  }))
}

/**
 * Lists the indexes of the gem's table on PostgreSQL and SQLite. Partial ones keep claims fast,
 * however long the table is.
 */
export function listUploadIndexes(uploads: string): readonly IndexDefinition[] {
  const lane = 'uploadable_type, uploadable_id, attr_name'
  const index = (name: string, columns: string, more: Partial<IndexDefinition> = {}) => ({
    name: `activestorage_delayed_uploads_${name}`,
    table: uploads,
    columns,
    ...more,
  })
  return [
    index('token', 'token', { unique: true }),
    index('due', 'run_at, id', { where: "state = 'pending'" }),
    index('lane', `${lane}, id`),
    index('running', lane, { unique: true, where: "state = 'running'" }),
    index('lease', 'lease_until', { where: "state <> 'pending'" }),
    index('holder', 'lease_token', { where: 'lease_token is not null' }),
  ]
}

/**
 * Lists the indexes of the table of files on PostgreSQL and SQLite. `prefix` is that of the
 * library's own tables, without a schema.
 */
export function listFileIndexes(files: string, prefix: string): readonly IndexDefinition[] {
  return [
    { name: `${prefix}files_upload`, table: files, columns: 'upload_token, position' },
    { name: `${prefix}files_state`, table: files, columns: 'state, expires_at' },
    { name: `${prefix}files_key`, table: files, columns: 'blob_key' },
  ]
}

/**
 * Lists the indexes of the table of jobs on PostgreSQL and SQLite. `prefix` as for
 * `listFileIndexes`.
 */
export function listJobIndexes(jobs: string, prefix: string): readonly IndexDefinition[] {
  return [
    { name: `${prefix}jobs_due`, table: jobs, columns: 'state, run_at' },
    {
      name: `${prefix}jobs_holder`,
      table: jobs,
      columns: 'lease_token',
      where: 'lease_token is not null',
    },
  ]
}

/** Runs a query with one column `name`. */
export async function readNames(executor: Executor, sql: string): Promise<string[]> {
  return (await executor.run(sql, [])).rows.map((row) => String(row['name']))
}
