import { ConfigurationError } from '../../errors/errors.ts'
import type { DialectSchema, MigrationStep } from '../migrate.ts'
import type { TableNames } from '../schema.ts'
import type { RecordIdType } from '../store.ts'
import { addedFileColumns, ownTableColumns, addedUploadColumns } from './columns.ts'

/** MySQL 8 and MariaDB 10.6. Text of ours is compared byte by byte: their defaults call 'abc' and 'ABC' the same record. */
export function createMysqlSchema(tables: TableNames, recordId: RecordIdType): DialectSchema {
  const q = (name: string): string =>
    name
      .split('.')
      .map((part) => `\`${part}\``)
      .join('.')
  const recordType = {
    bigint: 'bigint',
    uuid: 'varchar(36) collate utf8mb4_bin',
    text: 'varchar(255) collate utf8mb4_bin',
  }[recordId]
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
    bytes: 'mediumblob',
    key: 'varchar(512)',
    reserved: '`key`',
  })
  const engine = 'engine=InnoDB default charset=utf8mb4'
  const table = (name: string, columns: string, collate: string = ''): MigrationStep => ({
    needs: name,
    sql: `create table if not exists ${q(name)} (${columns}) ${engine}${collate}`,
  })
  const index = (
    name: string,
    table_: string,
    columns: string,
    unique: boolean = false,
  ): MigrationStep => ({
    needs: `${table_}:${name}`,
    sql: `create ${unique ? 'unique ' : ''}index ${q(name)} on ${q(table_)} (${columns})`,
  })
  const bin = ' collate=utf8mb4_bin'
  const id = 'id bigint primary key auto_increment'
  // How a CHAR is read depends on the session's mode, so that MariaDB takes none here without its blanks cut off.
  const lane = `sha2(concat_ws(char(0), uploadable_type, ${recordId === 'bigint' ? 'uploadable_id' : 'rtrim(uploadable_id)'}, attr_name), 256)`
  const numbers = Array.from({ length: 1024 }, (_, bucket) => `(${bucket})`).join(',')
  return {
    quote: q,
    lock: [],
    steps: [
      table(
        blobs,
        `${id}, \`key\` varchar(255) not null, filename varchar(255) not null, content_type varchar(255), metadata text, service_name varchar(255) not null, byte_size bigint not null, checksum varchar(255), created_at datetime(6) not null`,
      ),
      index('index_active_storage_blobs_on_key', blobs, '`key`', true),
      table(
        attachments,
        `${id}, name varchar(255) not null, record_type varchar(255) not null, record_id ${recordType} not null, blob_id bigint not null, created_at datetime(6) not null, constraint fk_rails_c3b3935057 foreign key (blob_id) references ${q(blobs)} (id)`,
      ),
      index(
        'index_active_storage_attachments_uniqueness',
        attachments,
        `record_type${recordId === 'text' ? '(191)' : ''}, record_id${recordId === 'text' ? '(191)' : ''}, name${recordId === 'text' ? '(191)' : ''}, blob_id`,
        true,
      ),
      table(
        variants,
        `${id}, blob_id bigint not null, variation_digest varchar(255) not null, constraint fk_rails_993965df05 foreign key (blob_id) references ${q(blobs)} (id)`,
      ),
      index(
        'index_active_storage_variant_records_uniqueness',
        variants,
        'blob_id, variation_digest',
        true,
      ),
      table(
        uploads,
        `${id}, uploadable_type varchar(255), uploadable_id ${recordType}, attr_name varchar(255), deleted_ids varchar(255) default '', clean_before tinyint(1) default 0, files longtext, created_at datetime(6) not null, updated_at datetime(6) not null`,
        bin,
      ),
      ...addedUploadColumns({
        id: 'bigint',
        text: 'text collate utf8mb4_bin',
        name: 'varchar(64) collate utf8mb4_bin',
      }).map(([name, type]) => ({
        needs: `${uploads}.${name}`,
        sql: `alter table ${q(uploads)} add column ${name} ${type}`,
      })),
      {
        needs: `${uploads}.running_lane`,
        sql: `alter table ${q(uploads)} add column running_lane varchar(64) as (if(state = 'running', ${lane}, null)) stored`,
      },
      index('activestorage_delayed_uploads_token', uploads, 'token', true),
      index('activestorage_delayed_uploads_due', uploads, 'state, run_at, id'),
      index(
        'activestorage_delayed_uploads_lane',
        uploads,
        'uploadable_type(64), uploadable_id, attr_name(64), id',
      ),
      index('activestorage_delayed_uploads_holder', uploads, 'lease_token'),
      index('activestorage_delayed_uploads_running', uploads, 'running_lane', true),
      table(files, own.files, bin),
      ...addedFileColumns('text').map(([name, type]) => ({
        needs: `${files}.${name}`,
        sql: `alter table ${q(files)} add column ${name} ${type}`,
      })),
      index('files_upload', files, 'upload_token, position'),
      index('files_state', files, 'state, expires_at'),
      index('files_key', files, 'blob_key'),
      table(chunks, `${own.chunks}, foreign key (file_id) references ${q(files)} (id)`, bin),
      table(jobs, own.jobs, bin),
      index('jobs_due', jobs, 'state, run_at'),
      index('jobs_holder', jobs, 'lease_token'),
      table(tables.workers, own.workers, bin),
      table(locks, own.locks, bin),
      {
        needs: `${locks}:buckets`,
        sql: `insert ignore into ${q(locks)} (bucket) values ${numbers}`,
      },
    ],
    async existing(executor) {
      const run = async (sql: string): Promise<string[]> =>
        (await executor.run(sql, [])).rows.map((row) => String(row['name']))
      const found = new Set([
        ...(await run(
          'select table_name as name from information_schema.tables where table_schema = database()',
        )),
        ...(await run(
          `select concat(table_name, '.', column_name) as name from information_schema.columns where table_schema = database() and table_name in ('${uploads}', '${files}', '${locks}')`,
        )),
        ...(await run(
          "select distinct concat(table_name, ':', index_name) as name from information_schema.statistics where table_schema = database()",
        )),
      ])
      if (
        found.has(locks) &&
        Number((await executor.run(`select count(*) as n from ${q(locks)}`, [])).rows[0]?.['n']) >=
          1024
      )
        found.add(`${locks}:buckets`)
      return found
    },
    async liveColumns(executor) {
      const { rows } = await executor.run(
        `select concat(table_name, '.', column_name) as name, data_type as type, character_set_name as charset, character_maximum_length as length, @@character_set_client as client from information_schema.columns where table_schema = database() and (table_name = '${blobs}' or (table_name in ('${attachments}', '${uploads}') and column_name in ('record_id', 'uploadable_id')))`,
        [],
      )
      const client = String(rows[0]?.['client'] ?? 'utf8mb4')
      if (!client.startsWith('utf8'))
        throw new ConfigurationError(
          `The connection to the database is in ${client}, in which other characters are lost on their way. Give its pool charset: 'utf8mb4'.`,
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
    },
  }
}
