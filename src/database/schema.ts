import type { Generated } from 'kysely'

/** State of an upload. `delayed/upload-transitions.ts` has the changes between states. */
export type UploadState = 'pending' | 'running' | 'attached' | 'failed'

/** State of a staged file. `staging/file-transitions.ts` has the changes between states. */
export type FileState = 'staging' | 'staged' | 'attached' | 'done' | 'failed' | 'dropped'

/** State of a job; a job that is finished has no row. */
export type JobState = 'pending' | 'running'

type BigIntColumn = string | number | bigint
type Nullable<T> = T | null

/**
 * The tables of Rails, the gem and the library, by the names that statements use. `TableNames` has
 * the real names.
 */
export interface Schema {
  blobs: {
    id: Generated<BigIntColumn>
    key: string
    filename: string
    content_type: Nullable<string>
    metadata: Nullable<string>
    service_name: string
    byte_size: BigIntColumn
    checksum: Nullable<string>
    created_at: string
  }
  attachments: {
    id: Generated<BigIntColumn>
    name: string
    record_type: string
    record_id: BigIntColumn
    blob_id: BigIntColumn
    created_at: string
  }
  variant_records: { id: Generated<BigIntColumn>; blob_id: BigIntColumn; variation_digest: string }
  uploads: {
    id: Generated<BigIntColumn>
    uploadable_type: Nullable<string>
    uploadable_id: Nullable<BigIntColumn>
    attr_name: Nullable<string>
    deleted_ids: Nullable<string>
    clean_before: Nullable<number>
    files: Nullable<string>
    created_at: string
    updated_at: string
    token: Nullable<string>
    origin_id: Nullable<BigIntColumn>
    state: Generated<UploadState>
    replaces: Nullable<string>
    keeps: Nullable<string>
    attempts: Generated<number>
    run_at: Generated<BigIntColumn>
    lease_token: Nullable<string>
    lease_until: Generated<BigIntColumn>
    enqueued_at: Generated<BigIntColumn>
    /**
     * Time since which the upload waits for an unavailable service, in epoch milliseconds; 0: it
     * does not wait.
     */
    unavailable_since: Generated<BigIntColumn>
    last_error: Nullable<string>
  }
  files: {
    id: string
    upload_token: Nullable<string>
    position: number
    filename: string
    content_type: string
    byte_size: BigIntColumn
    checksum: Nullable<string>
    state: FileState
    service_name: Nullable<string>
    blob_key: Nullable<string>
    sent_filename: Nullable<string>
    sent_size: Nullable<BigIntColumn>
    sent_checksum: Nullable<string>
    sent_type: Nullable<string>
    uploaded_bytes: Generated<BigIntColumn>
    last_error: Nullable<string>
    public_error: Nullable<string>
    expires_at: BigIntColumn
    created_at: BigIntColumn
  }
  chunks: { file_id: string; position: number; data: Buffer }
  jobs: {
    id: string
    name: string
    arguments: string
    key: Nullable<string>
    state: Generated<JobState>
    run_at: Generated<BigIntColumn>
    attempts: Generated<number>
    lease_token: Nullable<string>
    lease_until: Generated<BigIntColumn>
    last_error: Nullable<string>
  }
  workers: { id: string; started_at: BigIntColumn; seen_at: BigIntColumn; knows: string }
  locks: { bucket: number; version: Generated<BigIntColumn> }
}

/** The real names of the tables. On PostgreSQL a name may begin with a schema and a dot. */
export type TableNames = Readonly<Record<keyof Schema, string>>

/** Names of the tables. */
export interface TableOptions {
  /**
   * Prefix of the names of the library's own tables. Default: 'activestorage_delayed_'. Rails'
   * tables and the gem's keep their names.
   */
  readonly prefix?: string
  /** PostgreSQL: schema of the library's own tables. Default: the connection's search path. */
  readonly schema?: string
}

/**
 * Returns the real names of the tables. Those of Rails and the gem are fixed, because a Rails app
 * may share them.
 */
export function createTableNames({
  prefix = 'activestorage_delayed_',
  schema,
}: TableOptions = {}): TableNames {
  const own = (name: string): string =>
    `${schema === undefined ? '' : `${schema}.`}${prefix}${name}`
  return {
    blobs: 'active_storage_blobs',
    attachments: 'active_storage_attachments',
    variant_records: 'active_storage_variant_records',
    uploads: 'activestorage_delayed_uploads',
    files: own('files'),
    chunks: own('chunks'),
    jobs: own('jobs'),
    workers: own('workers'),
    locks: own('locks'),
  }
}
