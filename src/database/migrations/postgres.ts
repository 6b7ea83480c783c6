import type { Executor } from '../executor.ts'
import type { DialectSchema, LiveColumns, MigrationStep } from '../migrate.ts'
import { quoteTable } from '../quote-table.ts'
import type { TableNames } from '../schema.ts'
import type { RecordIdType } from '../store.ts'
import { addedUploadColumns, ownTableColumns } from './columns.ts'
import {
  createColumnSteps,
  createIndexStep,
  listFileIndexes,
  listJobIndexes,
  listUploadIndexes,
  readNames,
} from './steps.ts'

/**
 * Settings of vacuum for the chunks, which are deleted soon: it runs after a fixed number of dead
 * rows, not after a share of the table, and without pauses.
 */
const CHUNKS_VACUUM =
  'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_cost_delay = 0'

const ADD_COLUMN = 'add column if not exists'

/**
 * Creates the schema for PostgreSQL 13 and newer. Chunks are not compressed (EXTERNAL), because
 * that takes longer than to write them.
 */
export function createPostgresSchema(tables: TableNames, recordId: RecordIdType): DialectSchema {
  return {
    quote: quoteTable,
    steps: [
      ...listRailsSteps(tables, recordId),
      ...listUploadSteps(tables),
      ...listOwnSteps(tables),
    ],
    lock: [
      `set local lock_timeout = '3s'`,
      `select pg_advisory_xact_lock(hashtext('activestorage_delayed migrate'))`,
    ],
    existing: (executor) => readExisting(executor, tables),
    liveColumns: (executor) => readLiveColumns(executor, tables),
  }
}

/**
 * Splits the name of the table of files into its schema with the dot, '' for the search path, and
 * the prefix of the library's own names.
 */
function splitName(files: string): { readonly schema: string; readonly prefix: string } {
  const [, schema = '', name = ''] = /^(.*\.)?([^.]*)$/.exec(files) ?? []
  return { schema, prefix: name.replace(/files$/, '') }
}

const createTable = (name: string, columns: string, more: string = ''): MigrationStep => ({
  needs: name,
  sql: `create table if not exists ${quoteTable(name)} (${columns})${more}`,
})

/** Lists the steps for Rails' three tables and the gem's one, as `rails db:migrate` makes them. */
function listRailsSteps(tables: TableNames, recordId: RecordIdType): readonly MigrationStep[] {
  const { blobs, attachments, variant_records: variants, uploads } = tables
  const recordType = { bigint: 'bigint', uuid: 'uuid', text: 'varchar' }[recordId]
  const index = (name: string, table: string, columns: string, { unique = false } = {}) =>
    createIndexStep(quoteTable, { name: `index_active_storage_${name}`, table, columns, unique })
  return [
    createTable(
      blobs,
      'id bigserial primary key, key varchar not null, filename varchar not null, content_type varchar, metadata text, service_name varchar not null, byte_size bigint not null, checksum varchar, created_at timestamp(6) without time zone not null',
    ),
    index('blobs_on_key', blobs, 'key', { unique: true }),
    createTable(
      attachments,
      `id bigserial primary key, name varchar not null, record_type varchar not null, record_id ${recordType} not null, blob_id bigint not null constraint fk_rails_c3b3935057 references ${quoteTable(blobs)} (id), created_at timestamp(6) without time zone not null`,
    ),
    index('attachments_on_blob_id', attachments, 'blob_id'),
    index('attachments_uniqueness', attachments, 'record_type, record_id, name, blob_id', {
      unique: true,
    }),
    createTable(
      variants,
      `id bigserial primary key, blob_id bigint not null constraint fk_rails_993965df05 references ${quoteTable(blobs)} (id), variation_digest varchar not null`,
    ),
    index('variant_records_uniqueness', variants, 'blob_id, variation_digest', { unique: true }),
    createTable(
      uploads,
      `id bigserial primary key, uploadable_type varchar, uploadable_id ${recordType}, attr_name varchar, deleted_ids varchar default '', clean_before boolean default false, files text, created_at timestamp(6) without time zone not null, updated_at timestamp(6) without time zone not null`,
    ),
  ]
}

/** Lists the steps for the library's columns of the gem's table. */
function listUploadSteps({ uploads }: TableNames): readonly MigrationStep[] {
  const added = addedUploadColumns({ id: 'bigint', text: 'text', name: 'varchar(64)' })
  return [
    ...createColumnSteps(quoteTable, uploads, added, ADD_COLUMN),
    ...listUploadIndexes(uploads).map((index) => createIndexStep(quoteTable, index)),
  ]
}

/** Lists the steps for the library's own tables, and for their schema if they have one. */
function listOwnSteps(tables: TableNames): readonly MigrationStep[] {
  const { files, chunks, jobs, workers, locks } = tables
  const { schema, prefix } = splitName(files)
  const own = ownTableColumns({
    id: 'bigint',
    text: 'text',
    name: 'varchar(64)',
    bytes: 'bytea',
    key: 'varchar(512)',
    reserved: 'key',
  })
  const createSchema = `create schema if not exists ${quoteTable(schema.slice(0, -1))}`
  return [
    ...(schema === '' ? [] : [{ needs: schema, sql: createSchema }]),
    createTable(files, own.files),
    ...listFileIndexes(files, prefix).map((index) => createIndexStep(quoteTable, index, schema)),
    createTable(
      chunks,
      `${own.chunks}, foreign key (file_id) references ${quoteTable(files)} (id)`,
      ` with (${CHUNKS_VACUUM}); alter table ${quoteTable(chunks)} alter column data set storage external`,
    ),
    createTable(jobs, own.jobs),
    ...listJobIndexes(jobs, prefix).map((index) => createIndexStep(quoteTable, index, schema)),
    createTable(workers, own.workers),
    createTable(
      locks,
      own.locks,
      `; insert into ${quoteTable(locks)} (bucket) select generate_series(0, 1023) on conflict do nothing`,
    ),
  ]
}

async function readExisting(
  executor: Executor,
  { uploads, files, locks }: TableNames,
): Promise<ReadonlySet<string>> {
  const { schema } = splitName(files)
  const relations = await readNames(
    executor,
    `select relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any (current_schemas(false))`,
  )
  // Tables in a schema of the library's own are read with its name, because tables of the same name
  // may be in the search path.
  const inSchema =
    schema === ''
      ? []
      : await readNames(
          executor,
          `select '${schema}' || coalesce(relname, '') as name from pg_namespace n left join pg_class c on c.relnamespace = n.oid where n.nspname = '${schema.slice(0, -1)}' union select '${schema}' from pg_namespace where nspname = '${schema.slice(0, -1)}'`,
        )
  const columnsOf = (table: string): string =>
    `select '${table}.' || attname as name from pg_attribute where attrelid = to_regclass('${quoteTable(table)}') and attnum > 0`
  const columns = await readNames(
    executor,
    [uploads, files, locks].map(columnsOf).join(' union all '),
  )
  return new Set([...relations, ...inSchema, ...columns])
}

async function readLiveColumns(
  executor: Executor,
  { attachments, uploads }: TableNames,
): Promise<LiveColumns> {
  const columnsOf = (table: string): string =>
    `select '${table}.' || attname as name, typname as type from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = to_regclass('${table}') and attname in ('record_id', 'uploadable_id')`
  const { rows } = await executor.run([attachments, uploads].map(columnsOf).join(' union all '), [])
  return new Map(rows.map((row) => [String(row['name']), { type: String(row['type']) }]))
}
