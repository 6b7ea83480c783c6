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
  type IndexDefinition,
} from './steps.ts'

const ID = '"id" integer primary key autoincrement not null'

/** Creates the schema for SQLite. It has no lock, because one writer locks the whole file. */
export function createSqliteSchema(tables: TableNames, recordId: RecordIdType): DialectSchema {
  return {
    quote: quoteTable,
    lock: [],
    steps: [...listRailsSteps(tables, recordId), ...listOwnSteps(tables)],
    existing: (executor) => readExisting(executor, tables),
    liveColumns: (executor) => readLiveColumns(executor, tables),
  }
}

const createTable = (name: string, columns: string): MigrationStep => ({
  needs: name,
  sql: `create table if not exists ${quoteTable(name)} (${columns})`,
})

const createIndex = (index: IndexDefinition): MigrationStep => createIndexStep(quoteTable, index)

/** Lists the steps for Rails' three tables and the gem's one, as `rails db:migrate` makes them. */
function listRailsSteps(tables: TableNames, recordId: RecordIdType): readonly MigrationStep[] {
  const { blobs, attachments, variant_records: variants, uploads } = tables
  const recordType = recordId === 'bigint' ? 'integer' : 'varchar'
  const blobReference = `foreign key ("blob_id") references ${quoteTable(blobs)} ("id")`
  return [
    createTable(
      blobs,
      `${ID}, "key" varchar not null, "filename" varchar not null, "content_type" varchar, "metadata" text, "service_name" varchar not null, "byte_size" bigint not null, "checksum" varchar, "created_at" datetime(6) not null`,
    ),
    createIndex({
      name: 'index_active_storage_blobs_on_key',
      table: blobs,
      columns: '"key"',
      unique: true,
    }),
    createTable(
      attachments,
      `${ID}, "name" varchar not null, "record_type" varchar not null, "record_id" ${recordType} not null, "blob_id" bigint not null, "created_at" datetime(6) not null, constraint "fk_rails_c3b3935057" ${blobReference}`,
    ),
    createIndex({
      name: 'index_active_storage_attachments_on_blob_id',
      table: attachments,
      columns: '"blob_id"',
    }),
    createIndex({
      name: 'index_active_storage_attachments_uniqueness',
      table: attachments,
      columns: '"record_type", "record_id", "name", "blob_id"',
      unique: true,
    }),
    createTable(
      variants,
      `${ID}, "blob_id" bigint not null, "variation_digest" varchar not null, constraint "fk_rails_993965df05" ${blobReference}`,
    ),
    createIndex({
      name: 'index_active_storage_variant_records_uniqueness',
      table: variants,
      columns: '"blob_id", "variation_digest"',
      unique: true,
    }),
    createTable(
      uploads,
      `${ID}, "uploadable_type" varchar, "uploadable_id" ${recordType}, "attr_name" varchar, "deleted_ids" varchar default '', "clean_before" boolean default 0, "files" text, "created_at" datetime(6) not null, "updated_at" datetime(6) not null`,
    ),
  ]
}

/** Lists the steps for the library's columns of the gem's table, and for its own tables. */
function listOwnSteps({ uploads, files, chunks, jobs, workers }: TableNames): MigrationStep[] {
  const own = ownTableColumns({
    id: 'integer',
    text: 'text',
    name: 'text',
    bytes: 'blob',
    key: 'text',
    reserved: 'key',
  })
  const prefix = files.replace(/files$/, '')
  const added = addedUploadColumns({ id: 'integer', text: 'text', name: 'text' })
  return [
    ...createColumnSteps(quoteTable, uploads, added),
    ...listUploadIndexes(uploads).map(createIndex),
    createTable(files, own.files),
    ...listFileIndexes(files, prefix).map(createIndex),
    createTable(
      chunks,
      `${own.chunks}, foreign key (file_id) references ${quoteTable(files)} (id)`,
    ),
    createTable(jobs, own.jobs),
    ...listJobIndexes(jobs, prefix).map(createIndex),
    createTable(workers, own.workers),
  ]
}

async function readExisting(
  executor: Executor,
  { uploads, files }: TableNames,
): Promise<ReadonlySet<string>> {
  const columnsOf = (table: string): string =>
    `select '${table}.' || name as name from pragma_table_info('${table}')`
  return new Set([
    ...(await readNames(executor, 'select name from sqlite_master')),
    ...(await readNames(executor, [uploads, files].map(columnsOf).join(' union all '))),
  ])
}

async function readLiveColumns(
  executor: Executor,
  { attachments, uploads }: TableNames,
): Promise<LiveColumns> {
  const columnsOf = (table: string): string =>
    `select '${table}.' || name as name, type from pragma_table_info('${table}') where name in ('record_id', 'uploadable_id')`
  const { rows } = await executor.run([attachments, uploads].map(columnsOf).join(' union all '), [])
  return new Map(rows.map((row) => [String(row['name']), { type: String(row['type']) }]))
}
