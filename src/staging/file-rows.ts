import { sql, type AliasedRawBuilder, type RawBuilder } from 'kysely'
import { lockRows } from '../database/row-locks.ts'
import type { Dialect } from '../database/database.ts'
import { asText, nowPlus, now } from '../database/expressions.ts'
import type { FileState } from '../database/schema.ts'
import type { Session } from '../database/session.ts'

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
  /** The same for visitors. null: it was not written down. */
  readonly publicError: string | null
  readonly expiresAt: number
  /** By the database's clock, when it was read. */
  readonly expired: boolean
  readonly createdAt: number
}

/** Its service has it, and an attachment names it. */
export const isAttached = ({ state }: Pick<FileRow, 'state'>): boolean =>
  state === 'attached' || state === 'done'

/** Bytes of one chunk row. Bigger ones gain nothing; smaller ones cost statements, and pages on MariaDB. */
export const CHUNK_SIZE: number = 512 * 1024

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

export type SelectedFileRow = { readonly file_expired: number } & {
  readonly [C in (typeof PLAIN_COLUMNS)[number] as `file_${C}`]: string | number | null
} & {
  readonly [C in (typeof BIGINT_COLUMNS)[number] as `file_${C}`]: string | null
}

/** Every column of files, as a query names the table, under the name `file_…`, so that a join with uploads can be read too. */
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

export function fileRowOf(row: Readonly<Record<string, unknown>>): FileRow {
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

/** In the order of `ids`; those that are not there are left out. `lock`: as they are now, not as a snapshot has them. */
export async function findFiles(
  session: Session,
  ids: readonly string[],
  lock: boolean = false,
): Promise<FileRow[]> {
  if (ids.length === 0) return []
  let query = selectFiles(session).where('f.id', 'in', ids).orderBy('f.id')
  if (lock) query = lockRows(query, session.dialect)
  const rows = (await query.execute()).map(fileRowOf)
  const byId = new Map(rows.map((row) => [row.id, row]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/** Locks those of the files that no upload has. Returns them in the order of `ids`. */
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
  const byId = new Map(rows.map((row) => [row.file_id, fileRowOf(row)]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/** The files of uploads, by position. */
export async function findFilesOfUploads(
  session: Session,
  tokens: readonly string[],
  lock: boolean = false,
): Promise<FileRow[]> {
  if (tokens.length === 0) return []
  let query = selectFiles(session)
    .where('f.upload_token', 'in', tokens)
    .orderBy('f.position')
    .orderBy('f.id')
  if (lock) query = lockRows(query, session.dialect)
  return (await query.execute()).map(fileRowOf)
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
      expires_at: nowPlus(session.dialect, STAGING_EXPIRES_MS),
      created_at: now(session.dialect),
    })
    .execute()
}

export async function insertChunk(
  session: Session,
  fileId: string,
  position: number,
  data: Buffer,
): Promise<void> {
  await session.db.insertInto('chunks').values({ file_id: fileId, position, data }).execute()
}

/** A file that came as one piece, with its only chunk: both or neither, in the transaction that the session is in. */
export async function insertStagedFile(
  session: Session,
  file: StagedBytes,
  data: Buffer,
  expiresIn: number,
): Promise<FileRow> {
  const insert = session.db.insertInto('files').values({
    id: file.id,
    position: 0,
    filename: file.filename,
    content_type: file.contentType,
    byte_size: file.byteSize,
    checksum: file.checksum,
    state: 'staged',
    expires_at: nowPlus(session.dialect, expiresIn),
    created_at: now(session.dialect),
  })
  const row = session.returning
    ? await insert.returning(fileColumns(session.dialect, 'files')).executeTakeFirstOrThrow()
    : void (await insert.execute())
  if (data.length > 0) await insertChunk(session, file.id, 0, data)
  return row === undefined ? ((await findFiles(session, [file.id]))[0] as FileRow) : fileRowOf(row)
}

/** A slow client keeps its file as long as bytes arrive. */
export async function renewStaging(session: Session, fileId: string): Promise<void> {
  await session.db
    .updateTable('files')
    .set({ expires_at: nowPlus(session.dialect, STAGING_EXPIRES_MS) })
    .where('id', '=', fileId)
    .where('state', '=', 'staging')
    .execute()
}

/** What is known of a file when all of it is here. */
export interface StagedBytes {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  readonly byteSize: number
  readonly checksum: string
}

/** `staged` only if nobody dropped the file meanwhile and every byte is there. null: it is not. */
export async function finishStaging(
  session: Session,
  file: StagedBytes & { readonly chunks: number },
  expiresIn: number,
): Promise<FileRow | null> {
  const update = session.db
    .updateTable('files')
    .set({
      state: 'staged',
      filename: file.filename,
      content_type: file.contentType,
      byte_size: file.byteSize,
      checksum: file.checksum,
      expires_at: nowPlus(session.dialect, expiresIn),
    })
    .where('id', '=', file.id)
    .where('state', '=', 'staging')
    .where(
      sql<boolean>`(select count(*) from ${sql.table('chunks')} where file_id = ${file.id}) = ${sql.lit(file.chunks)}`,
    )
    .where(sql<boolean>`(${sumChunkLengths(session, file)}) = ${sql.lit(file.byteSize)}`)
  if (session.returning) {
    const row = await update.returning(fileColumns(session.dialect, 'files')).executeTakeFirst()
    return row === undefined ? null : fileRowOf(row)
  }
  if (Number((await update.executeTakeFirst()).numUpdatedRows) !== 1) return null
  return (await findFiles(session, [file.id]))[0] ?? null
}

/**
 * The summed length of the chunks. MySQL and MariaDB would read every byte again for it, which took 43 % of the time of
 * staging half a gigabyte: all chunks but the last are of one size, so that the last one's length says as much.
 */
function sumChunkLengths(
  session: Session,
  file: { readonly id: string; readonly chunks: number },
): RawBuilder<number> {
  const length = session.dialect === 'sqlite' ? sql`length(data)` : sql`octet_length(data)`
  const from = sql`from ${sql.table('chunks')} where file_id = ${file.id}`
  if (session.dialect === 'postgres' || session.dialect === 'sqlite')
    return sql<number>`select coalesce(sum(${length}), 0) ${from}`
  const last = file.chunks - 1
  return last < 0
    ? sql<number>`select 0`
    : sql<number>`select ${sql.lit(last * CHUNK_SIZE)} + ${length} ${from} and position = ${sql.lit(last)}`
}

/** Gives a file up: the sweep deletes its bytes. Never one that is linked. */
export async function dropUnlinkedFile(session: Session, fileId: string): Promise<boolean> {
  const result = await session.db
    .updateTable('files')
    .set({ state: 'dropped' })
    .where('id', '=', fileId)
    .where('upload_token', 'is', null)
    .where('state', 'in', ['staging', 'staged'])
    .executeTakeFirst()
  return Number(result.numUpdatedRows) === 1
}
