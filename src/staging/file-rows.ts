import { sql } from 'kysely'
import { asText, later, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'

export type FileState = 'staging' | 'staged' | 'attached' | 'told' | 'failed' | 'dropped'

/** A staged file: one row of activestorage_delayed_files. Its bytes are chunk rows until it is attached. */
export interface FileRow {
  readonly id: string
  readonly uploadToken: string | null
  readonly position: number
  readonly filename: string
  readonly contentType: string
  readonly byteSize: number
  readonly checksum: string
  readonly state: FileState
  readonly serviceName: string | null
  readonly blobKey: string | null
  readonly sentFilename: string | null
  readonly sentSize: number | null
  readonly sentChecksum: string | null
  readonly sentType: string | null
  readonly uploadedBytes: number
  readonly lastError: string | null
  readonly expiresAt: number
  readonly createdAt: number
}

export const STAGING_EXPIRES = 15 * 60_000

interface Selected {
  readonly [column: string]: string | number | null
}

function columns(session: Session) {
  return session.db
    .selectFrom('files')
    .select([
      'id',
      'upload_token',
      'position',
      'filename',
      'content_type',
      asText(session.dialect, 'byte_size').as('byte_size'),
      'checksum',
      'state',
      'service_name',
      'blob_key',
      'sent_filename',
      asText(session.dialect, 'sent_size').as('sent_size'),
      'sent_checksum',
      'sent_type',
      asText(session.dialect, 'uploaded_bytes').as('uploaded_bytes'),
      'last_error',
      asText(session.dialect, 'expires_at').as('expires_at'),
      asText(session.dialect, 'created_at').as('created_at'),
    ])
}

const text = (value: string | number | null | undefined): string | null => (value == null ? null : String(value))

function rowOf(row: Selected): FileRow {
  return {
    id: String(row['id']),
    uploadToken: text(row['upload_token']),
    position: Number(row['position']),
    filename: String(row['filename']),
    contentType: String(row['content_type']),
    byteSize: Number(row['byte_size']),
    checksum: String(row['checksum']),
    state: String(row['state']) as FileState,
    serviceName: text(row['service_name']),
    blobKey: text(row['blob_key']),
    sentFilename: text(row['sent_filename']),
    sentSize: row['sent_size'] == null ? null : Number(row['sent_size']),
    sentChecksum: text(row['sent_checksum']),
    sentType: text(row['sent_type']),
    uploadedBytes: Number(row['uploaded_bytes']),
    lastError: text(row['last_error']),
    expiresAt: Number(row['expires_at']),
    createdAt: Number(row['created_at']),
  }
}

/** In the order of `ids`; those that are not there are left out. */
export async function findFiles(session: Session, ids: readonly string[]): Promise<FileRow[]> {
  if (ids.length === 0) return []
  const rows = (await columns(session).where('id', 'in', ids).execute()) as unknown as Selected[]
  const byId = new Map(rows.map((row) => [String(row['id']), rowOf(row)]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/** The files of uploads, by position. */
export async function filesOf(session: Session, tokens: readonly string[]): Promise<FileRow[]> {
  if (tokens.length === 0) return []
  const rows = await columns(session).where('upload_token', 'in', tokens).orderBy('position').orderBy('id').execute()
  return (rows as unknown as Selected[]).map(rowOf)
}

export async function insertStagingFile(
  session: Session,
  file: { readonly id: string; readonly filename: string; readonly contentType: string },
): Promise<void> {
  await session.db
    .insertInto('files')
    .values({
      id: file.id,
      position: 0,
      filename: file.filename,
      content_type: file.contentType,
      byte_size: 0,
      state: 'staging',
      expires_at: later(session.dialect, STAGING_EXPIRES),
      created_at: now(session.dialect),
    })
    .execute()
}

export async function insertChunk(session: Session, fileId: string, position: number, data: Buffer): Promise<void> {
  await session.db.insertInto('chunks').values({ file_id: fileId, position, data }).execute()
}

/** A slow client keeps its file as long as bytes arrive. */
export async function renewStaging(session: Session, fileId: string): Promise<void> {
  await session.db
    .updateTable('files')
    .set({ expires_at: later(session.dialect, STAGING_EXPIRES) })
    .where('id', '=', fileId)
    .where('state', '=', 'staging')
    .execute()
}

/** `staged` only if nobody dropped the file meanwhile and every byte is there. False: it is not. */
export async function finishStaging(
  session: Session,
  file: {
    readonly id: string
    readonly contentType: string
    readonly byteSize: number
    readonly checksum: string
    readonly chunks: number
  },
  expiresIn: number,
): Promise<boolean> {
  const length = session.dialect === 'sqlite' ? sql`length(data)` : sql`octet_length(data)`
  const result = await session.db
    .updateTable('files')
    .set({
      state: 'staged',
      content_type: file.contentType,
      byte_size: file.byteSize,
      checksum: file.checksum,
      expires_at: later(session.dialect, expiresIn),
    })
    .where('id', '=', file.id)
    .where('state', '=', 'staging')
    .where(
      sql<boolean>`(select count(*) from ${sql.table('chunks')} where file_id = ${file.id}) = ${sql.lit(file.chunks)}`,
    )
    .where(
      sql<boolean>`(select coalesce(sum(${length}), 0) from ${sql.table('chunks')} where file_id = ${file.id}) = ${sql.lit(file.byteSize)}`,
    )
    .executeTakeFirst()
  return Number(result.numUpdatedRows) === 1
}

/** Gives a file up: the sweep deletes its bytes. Never one that is linked. */
export async function dropUnlinked(session: Session, fileId: string): Promise<boolean> {
  const result = await session.db
    .updateTable('files')
    .set({ state: 'dropped' })
    .where('id', '=', fileId)
    .where('upload_token', 'is', null)
    .where('state', 'in', ['staging', 'staged'])
    .executeTakeFirst()
  return Number(result.numUpdatedRows) === 1
}
