import { ConfigurationError } from '../../errors/errors.ts'
import type { Executor } from '../executor.ts'
import type { DialectSchema, LiveColumns, MigrationStep } from '../migrate.ts'
import { quoteTable } from '../quote-table.ts'
import type { TableNames } from '../schema.ts'
import type { RecordIdType } from '../store.ts'
import { addedUploadColumns, ownTableColumns } from './columns.ts'
import { createColumnSteps, readNames } from './steps.ts'

const ID = 'id bigint primary key auto_increment'
const BUCKETS = 1024

/**
 * Collation of the library's own text: it compares bytes. By default 'abc' and 'ABC' would be the
 * same record.
 */
const BINARY = ' collate=utf8mb4_bin'

const recordTypes: Readonly<Record<RecordIdType, string>> = {
  bigint: 'bigint',
  uuid: 'varchar(36) collate utf8mb4_bin',
  text: 'varchar(255) collate utf8mb4_bin',
}

const quote = (name: string): string => quoteTable(name, '`')

/**
 * Creates the schema for MySQL 8 and MariaDB 10.6. Each statement commits by itself, so the schema
 * has no lock.
 */
export function createMysqlSchema(tables: TableNames, recordId: RecordIdType): DialectSchema {
  return {
    quote,
    lock: [],
    steps: [
      ...listRailsSteps(tables, recordId),
      ...listUploadSteps(tables, recordId),
      ...listOwnSteps(tables),
    ],
    existing: (executor) => readExisting(executor, tables),
    liveColumns: (executor) => readLiveColumns(executor, tables),
  }
}

const createTable = (name: string, columns: string, collate: string = ''): MigrationStep => ({
  needs: name,
  sql: `create table if not exists ${quote(name)} (${columns}) engine=InnoDB default charset=utf8mb4${collate}`,
})

const createIndex = (
  table: string,
  name: string,
  columns: string,
  { unique = false } = {},
): MigrationStep => ({
  needs: `${table}:${name}`,
  sql: `create ${unique ? 'unique ' : ''}index ${quote(name)} on ${quote(table)} (${columns})`,
})

/** Lists the steps for Rails' three tables and the gem's one, as `rails db:migrate` makes them. */
function listRailsSteps(tables: TableNames, recordId: RecordIdType): readonly MigrationStep[] {
  const { blobs, attachments, variant_records: variants, uploads } = tables
  const recordType = recordTypes[recordId]
  // An index holds at most 3,072 bytes.
  const length = recordId === 'text' ? '(191)' : ''
  const unique = { unique: true }
  return [
    createTable(
      blobs,
      `${ID}, \`key\` varchar(255) not null, filename varchar(255) not null, content_type varchar(255), metadata text, service_name varchar(255) not null, byte_size bigint not null, checksum varchar(255), created_at datetime(6) not null`,
    ),
    createIndex(blobs, 'index_active_storage_blobs_on_key', '`key`', unique),
    createTable(
      attachments,
      `${ID}, name varchar(255) not null, record_type varchar(255) not null, record_id ${recordType} not null, blob_id bigint not null, created_at datetime(6) not null, constraint fk_rails_c3b3935057 foreign key (blob_id) references ${quote(blobs)} (id)`,
    ),
    createIndex(
      attachments,
      'index_active_storage_attachments_uniqueness',
      `record_type${length}, record_id${length}, name${length}, blob_id`,
      unique,
    ),
    createTable(
      variants,
      `${ID}, blob_id bigint not null, variation_digest varchar(255) not null, constraint fk_rails_993965df05 foreign key (blob_id) references ${quote(blobs)} (id)`,
    ),
    createIndex(
      variants,
      'index_active_storage_variant_records_uniqueness',
      'blob_id, variation_digest',
      unique,
    ),
    createTable(
      uploads,
      `${ID}, uploadable_type varchar(255), uploadable_id ${recordType}, attr_name varchar(255), deleted_ids varchar(255) default '', clean_before tinyint(1) default 0, files longtext, created_at datetime(6) not null, updated_at datetime(6) not null`,
      BINARY,
    ),
  ]
}

/**
 * Lists the steps for the library's columns of the gem's table. A unique index on `running_lane`
 * allows one running upload per lane.
 */
function listUploadSteps(
  { uploads }: TableNames,
  recordId: RecordIdType,
): readonly MigrationStep[] {
  const added = addedUploadColumns({
    id: 'bigint',
    text: 'text collate utf8mb4_bin',
    name: 'varchar(64) collate utf8mb4_bin',
  })
  // The spaces at the end of a CHAR depend on the session's mode, so MariaDB accepts such a column
  // here only without them.
  const id = recordId === 'bigint' ? 'uploadable_id' : 'rtrim(uploadable_id)'
  const lane = `sha2(concat_ws(char(0), uploadable_type, ${id}, attr_name), 256)`
  const index = (name: string, columns: string, options?: { unique: boolean }): MigrationStep =>
    createIndex(uploads, `activestorage_delayed_uploads_${name}`, columns, options)
  return [
    ...createColumnSteps(quote, uploads, added),
    {
      needs: `${uploads}.running_lane`,
      sql: `alter table ${quote(uploads)} add column running_lane varchar(64) as (if(state = 'running', ${lane}, null)) stored`,
    },
    index('token', 'token', { unique: true }),
    index('due', 'state, run_at, id'),
    index('lane', 'uploadable_type(64), uploadable_id, attr_name(64), id'),
    index('holder', 'lease_token'),
    index('running', 'running_lane', { unique: true }),
  ]
}

/** Lists the steps for the library's own tables. */
function listOwnSteps(tables: TableNames): readonly MigrationStep[] {
  const { files, chunks, jobs, workers, locks } = tables
  const own = ownTableColumns({
    id: 'bigint',
    text: 'text',
    name: 'varchar(64)',
    bytes: 'mediumblob',
    key: 'varchar(512)',
    reserved: '`key`',
  })
  const buckets = Array.from({ length: BUCKETS }, (_, bucket) => `(${bucket})`).join(',')
  return [
    createTable(files, own.files, BINARY),
    createIndex(files, 'files_upload', 'upload_token, position'),
    createIndex(files, 'files_state', 'state, expires_at'),
    createIndex(files, 'files_key', 'blob_key'),
    createTable(
      chunks,
      `${own.chunks}, foreign key (file_id) references ${quote(files)} (id)`,
      BINARY,
    ),
    createTable(jobs, own.jobs, BINARY),
    createIndex(jobs, 'jobs_due', 'state, run_at'),
    createIndex(jobs, 'jobs_holder', 'lease_token'),
    createTable(workers, own.workers, BINARY),
    createTable(locks, own.locks, BINARY),
    {
      needs: `${locks}:buckets`,
      sql: `insert ignore into ${quote(locks)} (bucket) values ${buckets}`,
    },
  ]
}

async function readExisting(
  executor: Executor,
  { uploads, files, locks }: TableNames,
): Promise<ReadonlySet<string>> {
  const found = new Set([
    ...(await readNames(
      executor,
      'select table_name as name from information_schema.tables where table_schema = database()',
    )),
    ...(await readNames(
      executor,
      `select concat(table_name, '.', column_name) as name from information_schema.columns where table_schema = database() and table_name in ('${uploads}', '${files}', '${locks}')`,
    )),
    ...(await readNames(
      executor,
      "select distinct concat(table_name, ':', index_name) as name from information_schema.statistics where table_schema = database()",
    )),
  ])
  if (found.has(locks)) {
    const { rows } = await executor.run(`select count(*) as n from ${quote(locks)}`, [])
    if (Number(rows[0]?.['n']) >= BUCKETS) found.add(`${locks}:buckets`)
  }
  return found
}

/**
 * Throws ConfigurationError for a connection in a character set that cannot carry every character.
 */
async function readLiveColumns(
  executor: Executor,
  { blobs, attachments, uploads }: TableNames,
): Promise<LiveColumns> {
  const { rows } = await executor.run(
    `select concat(table_name, '.', column_name) as name, data_type as type, character_set_name as charset, character_maximum_length as length, @@character_set_client as client from information_schema.columns where table_schema = database() and (table_name = '${blobs}' or (table_name in ('${attachments}', '${uploads}') and column_name in ('record_id', 'uploadable_id')))`,
    [],
  )
  const client = String(rows[0]?.['client'] ?? 'utf8mb4')
  if (!client.startsWith('utf8'))
    throw new ConfigurationError(
      `The connection to the database is in ${client}, which loses other characters. Give its pool charset: 'utf8mb4'.`,
    )
  return new Map(
    rows.map(({ name, type, charset, length }) => [
      String(name),
      {
        type: String(type),
        ...(charset === null ? {} : { charset: String(charset), length: Number(length) }),
      },
    ]),
  )
}
