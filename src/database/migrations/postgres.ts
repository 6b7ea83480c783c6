import type { Executor } from '../executor.ts'
import type { DialectSchema, MigrationStep } from '../migrate.ts'
import type { TableNames } from '../schema.ts'
import type { RecordIdType } from '../store.ts'
import { addedFileColumns, ownTableColumns, addedUploadColumns } from './columns.ts'

/** PostgreSQL 13 and newer. Chunks are stored as they are (EXTERNAL): compressing them costs more than writing them. */
export function createPostgresSchema(tables: TableNames, recordId: RecordIdType): DialectSchema {
  const q = (name: string): string =>
    name
      .split('.')
      .map((part) => `"${part}"`)
      .join('.')
  const last = (name: string): string => name.slice(name.lastIndexOf('.') + 1)
  /** With its dot, of our own tables; '' where the search path says. */
  const schema = tables.files.slice(0, -last(tables.files).length)
  const recordType = { bigint: 'bigint', uuid: 'uuid', text: 'varchar' }[recordId]
  const {
    blobs,
    attachments,
    variant_records: variants,
    uploads,
    files,
    chunks,
    jobs,
    locks,
  } = tables
  const own = ownTableColumns({
    id: 'bigint',
    text: 'text',
    name: 'varchar(64)',
    bytes: 'bytea',
    key: 'varchar(512)',
    reserved: 'key',
  })
  const vacuum =
    'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_cost_delay = 0'
  const table = (name: string, columns: string, more: string = ''): MigrationStep => ({
    needs: name,
    sql: `create table if not exists ${q(name)} (${columns})${more}`,
  })
  const index = (name: string, on: string, inSchema: string = ''): MigrationStep => ({
    needs: inSchema + name,
    sql: `create ${on.startsWith('unique ') ? 'unique ' : ''}index if not exists ${q(name)} on ${on.replace(/^unique /, '')}`,
  })
  const short = last(files).replace(/files$/, '')
  const steps: MigrationStep[] = [
    table(
      blobs,
      'id bigserial primary key, key varchar not null, filename varchar not null, content_type varchar, metadata text, service_name varchar not null, byte_size bigint not null, checksum varchar, created_at timestamp(6) without time zone not null',
    ),
    index('index_active_storage_blobs_on_key', `unique ${q(blobs)} (key)`),
    table(
      attachments,
      `id bigserial primary key, name varchar not null, record_type varchar not null, record_id ${recordType} not null, blob_id bigint not null constraint fk_rails_c3b3935057 references ${q(blobs)} (id), created_at timestamp(6) without time zone not null`,
    ),
    index('index_active_storage_attachments_on_blob_id', `${q(attachments)} (blob_id)`),
    index(
      'index_active_storage_attachments_uniqueness',
      `unique ${q(attachments)} (record_type, record_id, name, blob_id)`,
    ),
    table(
      variants,
      `id bigserial primary key, blob_id bigint not null constraint fk_rails_993965df05 references ${q(blobs)} (id), variation_digest varchar not null`,
    ),
    index(
      'index_active_storage_variant_records_uniqueness',
      `unique ${q(variants)} (blob_id, variation_digest)`,
    ),
    table(
      uploads,
      `id bigserial primary key, uploadable_type varchar, uploadable_id ${recordType}, attr_name varchar, deleted_ids varchar default '', clean_before boolean default false, files text, created_at timestamp(6) without time zone not null, updated_at timestamp(6) without time zone not null`,
    ),
    ...addedUploadColumns({ id: 'bigint', text: 'text', name: 'varchar(64)' }).map(
      ([name, type]) => ({
        needs: `${uploads}.${name}`,
        sql: `alter table ${q(uploads)} add column if not exists ${name} ${type}`,
      }),
    ),
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
      'activestorage_delayed_uploads_running',
      `unique ${q(uploads)} (uploadable_type, uploadable_id, attr_name) where state = 'running'`,
    ),
    index(
      'activestorage_delayed_uploads_lease',
      `${q(uploads)} (lease_until) where state <> 'pending'`,
    ),
    index(
      'activestorage_delayed_uploads_holder',
      `${q(uploads)} (lease_token) where lease_token is not null`,
    ),
    ...(schema === ''
      ? []
      : [{ needs: schema, sql: `create schema if not exists ${q(schema.slice(0, -1))}` }]),
    table(files, own.files),
    ...addedFileColumns('text').map(([name, type]) => ({
      needs: `${files}.${name}`,
      sql: `alter table ${q(files)} add column if not exists ${name} ${type}`,
    })),
    index(`${short}files_upload`, `${q(files)} (upload_token, position)`, schema),
    index(`${short}files_state`, `${q(files)} (state, expires_at)`, schema),
    index(`${short}files_key`, `${q(files)} (blob_key)`, schema),
    table(
      chunks,
      `${own.chunks}, foreign key (file_id) references ${q(files)} (id)`,
      ` with (${vacuum}); alter table ${q(chunks)} alter column data set storage external`,
    ),
    table(jobs, own.jobs),
    index(`${short}jobs_due`, `${q(jobs)} (state, run_at)`, schema),
    index(`${short}jobs_holder`, `${q(jobs)} (lease_token) where lease_token is not null`, schema),
    table(tables.workers, own.workers),
    table(
      locks,
      own.locks,
      `; insert into ${q(locks)} (bucket) select generate_series(0, 1023) on conflict do nothing`,
    ),
  ]
  const names =
    (sql: string) =>
    async (executor: Executor): Promise<string[]> =>
      (await executor.run(sql, [])).rows.map((row) => String(row['name']))
  return {
    quote: q,
    steps,
    lock: [
      `set local lock_timeout = '3s'`,
      `select pg_advisory_xact_lock(hashtext('activestorage_delayed migrate'))`,
    ],
    async existing(executor) {
      const relations = await names(
        `select relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any (current_schemas(false))`,
      )(executor)
      // Where only our own tables were given a schema, its names say so: others of the same name may be in the search path.
      const apart =
        schema === ''
          ? []
          : await names(
              `select '${schema}' || coalesce(relname, '') as name from pg_namespace n left join pg_class c on c.relnamespace = n.oid where n.nspname = '${schema.slice(0, -1)}' union select '${schema}' from pg_namespace where nspname = '${schema.slice(0, -1)}'`,
            )(executor)
      const columns = await names(
        [uploads, files, locks]
          .map(
            (table) =>
              `select '${table}.' || attname as name from pg_attribute where attrelid = to_regclass('${q(table)}') and attnum > 0`,
          )
          .join(' union all '),
      )(executor)
      return new Set([...relations, ...apart, ...columns])
    },
    async liveColumns(executor) {
      const of = (table: string): string =>
        `select '${table}.' || attname as name, typname as type from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = to_regclass('${table}') and attname in ('record_id', 'uploadable_id')`
      const { rows } = await executor.run([attachments, uploads].map(of).join(' union all '), [])
      return new Map(rows.map((row) => [String(row['name']), { type: String(row['type']) }]))
    },
  }
}
