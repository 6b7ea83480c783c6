import { lockRows, type ReadOptions } from '../database/row-locks.ts'
import { sql, type AliasedRawBuilder } from 'kysely'
import type { Dialect } from '../database/database.ts'
import { asText, nowPlus, now } from '../database/expressions.ts'
import type { FileState } from '../database/schema.ts'
import type { Session } from '../database/session.ts'

/**
 * A row of activestorage_delayed_files: a staged file. Its bytes are rows of chunks until it is
 * attached.
 */
export interface FileRow {
  readonly id: string
  /** The upload that has the file; null: it is not submitted. */
  readonly uploadToken: string | null
  /** Place among the files of the upload. */
  readonly position: number
  readonly filename: string
  readonly contentType: string
  /** Bytes of the staged file. */
  readonly byteSize: number
  /** Base64 MD5 of the staged bytes. */
  readonly checksum: string
  readonly state: FileState
  /** The service that the file is uploaded to; null: not chosen yet. */
  readonly serviceName: string | null
  /** Key of the object; null: not chosen yet. */
  readonly blobKey: string | null
  /**
   * Filename, bytes, base64 MD5 and content type that the service gets: those after a
   * transformation. null: not known yet.
   */
  readonly sentFilename: string | null
  readonly sentSize: number | null
  readonly sentChecksum: string | null
  readonly sentType: string | null
  /** Bytes that the service has received in this attempt. */
  readonly uploadedBytes: number
  /** Error of the last attempt, for the app and its log. null: none. */
  readonly lastError: string | null
  /** Text of `lastError` for visitors. null: none was written. */
  readonly publicError: string | null
  /** Epoch milliseconds. */
  readonly expiresAt: number
  /** Whether `expiresAt` was over when the row was read, by the database's clock. */
  readonly expired: boolean
  /** Epoch milliseconds. */
  readonly createdAt: number
}

/** Size, name and checksum of a file, once all of its bytes are there. */
export interface StagedBytes {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
}

/**
 * Errors of a file: the text for the log, and the text for visitors. null: the visitors' text is
 * made when the row is read.
 */
export interface FileErrors {
  readonly lastError: string
  readonly publicError: string | null
}

/** Returns whether the file is at its service and attached. */
export const isAttached = ({ state }: Pick<FileRow, 'state'>): boolean =>
  state === 'attached' || state === 'done'

/** Returns whether the file is still to be attached: it waits for an upload, or one has failed. */
export const isUnattached = ({ state }: Pick<FileRow, 'state'>): boolean =>
  state === 'staged' || state === 'failed'

/**
 * Bytes of one chunk row. Larger chunks are not faster; smaller ones need more statements, and more
 * pages on MariaDB.
 */
export const CHUNK_SIZE: number = 512 * 1024

/** Milliseconds without a byte after which an unfinished file is dropped. */
export const STAGING_EXPIRES_MS: number = 15 * 60_000

const PLAIN_COLUMNS = [
  'id',
  'upload_token',
  'position',
  'filename',
  'content_type',
  'checksum',
  'state',
  'service_name',
  'blob_key',
  'sent_filename',
  'sent_checksum',
  'sent_type',
  'last_error',
  'public_error',
] as const
const BIGINT_COLUMNS = [
  'byte_size',
  'sent_size',
  'uploaded_bytes',
  'expires_at',
  'created_at',
] as const

/** A row as `fileColumns` selects it. */
export type SelectedFileRow = { readonly file_expired: number } & {
  readonly [C in (typeof PLAIN_COLUMNS)[number] as `file_${C}`]: string | number | null
} & {
  readonly [C in (typeof BIGINT_COLUMNS)[number] as `file_${C}`]: string | null
}

/**
 * Returns all columns of files, each under the name `file_…`, so that they can be selected in a
 * join with uploads. `table` is the name of the table in the query.
 */
export function fileColumns(
  dialect: Dialect,
  table: 'f' | 'files' = 'f',
): readonly AliasedRawBuilder<string | number | null, keyof SelectedFileRow>[] {
  return [
    ...PLAIN_COLUMNS.map((name) =>
      sql<string | number | null>`${sql.ref(`${table}.${name}`)}`.as(`file_${name}` as const),
    ),
    ...BIGINT_COLUMNS.map((name) =>
      asText(dialect, `${table}.${name}`).as(`file_${name}` as const),
    ),
    sql<number>`case when ${sql.ref(`${table}.expires_at`)} > ${now(dialect)} then 0 else 1 end`.as(
      'file_expired',
    ),
  ]
}

const toTextOrNull = (value: unknown): string | null => (value == null ? null : String(value))

/** Converts a row that was selected by `fileColumns`. */
export function toFileRow(row: Readonly<Record<string, unknown>>): FileRow {
  return {
    id: String(row['file_id']),
    uploadToken: toTextOrNull(row['file_upload_token']),
    position: Number(row['file_position']),
    filename: String(row['file_filename']),
    contentType: String(row['file_content_type']),
    byteSize: Number(row['file_byte_size']),
    checksum: String(row['file_checksum']),
    state: String(row['file_state']) as FileState,
    serviceName: toTextOrNull(row['file_service_name']),
    blobKey: toTextOrNull(row['file_blob_key']),
    sentFilename: toTextOrNull(row['file_sent_filename']),
    sentSize: row['file_sent_size'] == null ? null : Number(row['file_sent_size']),
    sentChecksum: toTextOrNull(row['file_sent_checksum']),
    sentType: toTextOrNull(row['file_sent_type']),
    uploadedBytes: Number(row['file_uploaded_bytes']),
    lastError: toTextOrNull(row['file_last_error']),
    publicError: toTextOrNull(row['file_public_error']),
    expiresAt: Number(row['file_expires_at']),
    expired: Number(row['file_expired']) === 1,
    createdAt: Number(row['file_created_at']),
  }
}

function selectFiles(session: Session) {
  return session.db.selectFrom('files as f').select(fileColumns(session.dialect))
}

/** Finds files in the order of `ids`; missing ones are left out. */
export async function findFiles(
  session: Session,
  ids: readonly string[],
  { lock = false }: ReadOptions = {},
): Promise<FileRow[]> {
  if (ids.length === 0) return []
  let query = selectFiles(session).where('f.id', 'in', ids).orderBy('f.id')
  if (lock) query = lockRows(query, session.dialect)
  return sortByIds((await query.execute()).map(toFileRow), ids)
}

function sortByIds(rows: readonly FileRow[], ids: readonly string[]): FileRow[] {
  const byId = new Map(rows.map((row) => [row.id, row]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/** Locks those of the files that are in no upload. Returns them in the order of `ids`. */
export async function lockUnlinkedFiles(
  session: Session,
  ids: readonly string[],
): Promise<FileRow[]> {
  if (ids.length === 0) return []
  const query = selectFiles(session)
    .where('f.id', 'in', ids)
    .where('f.upload_token', 'is', null)
    .orderBy('f.id')
  const rows = await lockRows(query, session.dialect).execute()
  return sortByIds(rows.map(toFileRow), ids)
}

/** Finds the files of uploads, by position. */
export async function findFilesOfUploads(
  session: Session,
  tokens: readonly string[],
  { lock = false }: ReadOptions = {},
): Promise<FileRow[]> {
  if (tokens.length === 0) return []
  let query = selectFiles(session)
    .where('f.upload_token', 'in', tokens)
    .orderBy('f.position')
    .orderBy('f.id')
  if (lock) query = lockRows(query, session.dialect)
  return (await query.execute()).map(toFileRow)
}

/** Inserts one chunk of a file. */
export async function insertChunk(
  session: Session,
  fileId: string,
  position: number,
  data: Buffer,
): Promise<void> {
  await session.db.insertInto('chunks').values({ file_id: fileId, position, data }).execute()
}

/** Renews the expiry of a file whose bytes still arrive, so that a slow client does not lose it. */
export async function renewStaging(session: Session, fileId: string): Promise<void> {
  await session.db
    .updateTable('files')
    .set({ expires_at: nowPlus(session.dialect, STAGING_EXPIRES_MS) })
    .where('id', '=', fileId)
    .where('state', '=', 'staging')
    .execute()
}

/** Writes the errors of the last attempt at a file that is tried again. */
export async function writeFileErrors(
  session: Session,
  fileId: string,
  { lastError, publicError }: FileErrors,
): Promise<void> {
  await session.db
    .updateTable('files')
    .set({ last_error: lastError, public_error: publicError })
    .where('id', '=', fileId)
    .where('state', '=', 'staged')
    .execute()
}
