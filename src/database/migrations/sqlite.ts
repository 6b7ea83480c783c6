import type { DialectSchema, MigrationStep } from '../migrate.ts'
import type { TableNames } from '../schema.ts'
import type { RecordIdType } from '../store.ts'
import { addedFileColumns, ownTableColumns, addedUploadColumns } from './columns.ts'

export function createSqliteSchema(tables: TableNames, recordId: RecordIdType): DialectSchema {
  const q = (name: string): string => `"${name}"`
  const recordType = recordId === 'bigint' ? 'integer' : 'varchar'
  const { blobs, attachments, variant_records: variants, uploads, files, chunks, jobs } = tables
  const own = ownTableColumns({
    id: 'integer',
    text: 'text',
    name: 'text',
    bytes: 'blob',
    key: 'text',
    reserved: 'key',
  })
  const table = (name: string, columns: string): MigrationStep => ({
    needs: name,
    sql: `create table if not exists ${q(name)} (${columns})`,
  })
  const index = (name: string, on: string): MigrationStep => ({
    needs: name,
    sql: `create ${on.startsWith('unique ') ? 'unique ' : ''}index if not exists ${q(name)} on ${on.replace(/^unique /, '')}`,
  })
  const short = files.replace(/files$/, '')
  const id = '"id" integer primary key autoincrement not null'
  return {
    quote: q,
    lock: [],
    steps: [
      table(
        blobs,
        `${id}, "key" varchar not null, "filename" varchar not null, "content_type" varchar, "metadata" text, "service_name" varchar not null, "byte_size" bigint not null, "checksum" varchar, "created_at" datetime(6) not null`,
      ),
      index('index_active_storage_blobs_on_key', `unique ${q(blobs)} ("key")`),
      table(
        attachments,
        `${id}, "name" varchar not null, "record_type" varchar not null, "record_id" ${recordType} not null, "blob_id" bigint not null, "created_at" datetime(6) not null, constraint "fk_rails_c3b3935057" foreign key ("blob_id") references ${q(blobs)} ("id")`,
      ),
      index('index_active_storage_attachments_on_blob_id', `${q(attachments)} ("blob_id")`),
      index(
        'index_active_storage_attachments_uniqueness',
        `unique ${q(attachments)} ("record_type", "record_id", "name", "blob_id")`,
      ),
      table(
        variants,
        `${id}, "blob_id" bigint not null, "variation_digest" varchar not null, constraint "fk_rails_993965df05" foreign key ("blob_id") references ${q(blobs)} ("id")`,
      ),
      index(
        'index_active_storage_variant_records_uniqueness',
        `unique ${q(variants)} ("blob_id", "variation_digest")`,
      ),
      table(
        uploads,
        `${id}, "uploadable_type" varchar, "uploadable_id" ${recordType}, "attr_name" varchar, "deleted_ids" varchar default '', "clean_before" boolean default 0, "files" text, "created_at" datetime(6) not null, "updated_at" datetime(6) not null`,
      ),
      ...addedUploadColumns({ id: 'integer', text: 'text', name: 'text' }).map(([name, type]) => ({
        needs: `${uploads}.${name}`,
        sql: `alter table ${q(uploads)} add column ${name} ${type}`,
      })),
      index('activestorage_delayed_uploads_token', `unique ${q(uploads)} (token)`),
      index(
        'activestorage_delayed_uploads_due',
        `${q(uploads)} (run_at, id) where state = 'pending'`,
      ),
      index(
        'activestorage_delayed_uploads_lane',
        `${q(uploads)} (uploadable_type, uploadable_id, attr_name, id)`,
      ),
      index(
        'activestorage_delayed_uploads_lease',
        `${q(uploads)} (lease_until) where state <> 'pending'`,
      ),
      index(
        'activestorage_delayed_uploads_holder',
        `${q(uploads)} (lease_token) where lease_token is not null`,
      ),
      index(
        'activestorage_delayed_uploads_running',
        `unique ${q(uploads)} (uploadable_type, uploadable_id, attr_name) where state = 'running'`,
      ),
      table(files, own.files),
      ...addedFileColumns('text').map(([name, type]) => ({
        needs: `${files}.${name}`,
        sql: `alter table ${q(files)} add column ${name} ${type}`,
      })),
      index(`${short}files_upload`, `${q(files)} (upload_token, position)`),
      index(`${short}files_state`, `${q(files)} (state, expires_at)`),
      index(`${short}files_key`, `${q(files)} (blob_key)`),
      table(chunks, `${own.chunks}, foreign key (file_id) references ${q(files)} (id)`),
      table(jobs, own.jobs),
      index(`${short}jobs_due`, `${q(jobs)} (state, run_at)`),
      index(`${short}jobs_holder`, `${q(jobs)} (lease_token) where lease_token is not null`),
      table(tables.workers, own.workers),
    ],
    async existing(executor) {
      const relations = await executor.run('select name from sqlite_master', [])
      const of = (table: string): string =>
        `select '${table}.' || name as name from pragma_table_info('${table}')`
      const columns = await executor.run([uploads, files].map(of).join(' union all '), [])
      return new Set([...relations.rows, ...columns.rows].map((row) => String(row['name'])))
    },
    async liveColumns(executor) {
      const of = (table: string): string =>
        `select '${table}.' || name as name, type from pragma_table_info('${table}') where name in ('record_id', 'uploadable_id')`
      const { rows } = await executor.run([attachments, uploads].map(of).join(' union all '), [])
      return new Map(rows.map((row) => [String(row['name']), { type: String(row['type']) }]))
    },
  }
}
