import { sql, type RawBuilder } from 'kysely'
import { now, nowPlus } from '../database/expressions.ts'
import type { FileState } from '../database/schema.ts'
import type { Session } from '../database/session.ts'
import { isInState, type Transitions } from '../database/transitions.ts'
import {
  CHUNK_SIZE,
  fileColumns,
  fileRowOf,
  findFiles,
  insertChunk,
  STAGING_EXPIRES_MS,
  type FileRow,
} from './file-rows.ts'

const transitions = {
  insertStagingFile: { from: [], to: 'staging', fence: 'new id' },
  insertStagedFile: { from: [], to: 'staged', fence: 'new id' },
  finishStaging: { from: ['staging'], to: 'staged', fence: 'state, and every byte is there' },
  dropUnlinkedFile: { from: ['staging', 'staged'], to: 'dropped', fence: 'no upload has it' },
  dropExpiredFiles: {
    from: ['staging', 'staged'],
    to: 'dropped',
    fence: 'no upload has it, and its time is over',
  },
  attachStagedFile: {
    from: ['staged'],
    to: 'done',
    fence: 'no upload has it, and its time is not over',
  },
  attachFileWithHook: { from: ['staged'], to: 'attached', fence: 'lease of its upload' },
  attachFileWithoutHook: { from: ['staged'], to: 'done', fence: 'lease of its upload' },
  finishFiles: { from: ['attached'], to: 'done', fence: 'state' },
  failFiles: { from: ['staged'], to: 'failed', fence: 'lease of its upload, held or ended' },
  retryFiles: { from: ['failed'], to: 'staged', fence: 'lane' },
  dropLinkedFiles: {
    from: ['staging', 'staged', 'failed'],
    to: 'dropped',
    fence: 'lane, or the row while its upload is gone',
  },
  deleteFiles: { from: ['done', 'dropped'], to: null, fence: 'row lock' },
} as const satisfies Transitions<FileState>

/**
 * All changes of a file's state, by the function below that makes each. No other module writes the state. A test compares
 * the table with the diagram in docs/how-it-works.md.
 */
export const FILE_TRANSITIONS: Transitions<FileState> = transitions

/** Files by their own ids, or all files of uploads. */
export type FileSelection =
  { readonly ids: readonly string[] } | { readonly uploadTokens: readonly string[] }

/** An update of the state, from the states that the transition begins in. */
function updateState(
  session: Session,
  which: FileSelection,
  { from, to }: { readonly from: readonly FileState[]; readonly to: FileState },
) {
  const update = session.db.updateTable('files').set({ state: to }).where(isInState(from))
  return 'ids' in which
    ? update.where('id', 'in', which.ids)
    : update.where('upload_token', 'in', which.uploadTokens)
}

/** Size, name and checksum of a file, once all of its bytes are there. */
export interface StagedBytes {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  readonly byteSize: number
  readonly checksum: string
}

/** Begins a file whose bytes are still to come. */
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
      state: transitions.insertStagingFile.to,
      expires_at: nowPlus(session.dialect, STAGING_EXPIRES_MS),
      created_at: now(session.dialect),
    })
    .execute()
}

/** Writes a file that came as one piece, with its only chunk: both or neither, in the session's transaction. */
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
    state: transitions.insertStagedFile.to,
    expires_at: nowPlus(session.dialect, expiresIn),
    created_at: now(session.dialect),
  })
  const row = session.returning
    ? await insert.returning(fileColumns(session.dialect, 'files')).executeTakeFirstOrThrow()
    : void (await insert.execute())
  if (data.length > 0) await insertChunk(session, file.id, 0, data)
  return row === undefined ? ((await findFiles(session, [file.id]))[0] as FileRow) : fileRowOf(row)
}

/** Makes a file usable. Returns null where it was dropped meanwhile, or where bytes are missing. */
export async function finishStaging(
  session: Session,
  file: StagedBytes & { readonly chunks: number },
  expiresIn: number,
): Promise<FileRow | null> {
  const update = updateState(session, { ids: [file.id] }, transitions.finishStaging)
    .set({
      filename: file.filename,
      content_type: file.contentType,
      byte_size: file.byteSize,
      checksum: file.checksum,
      expires_at: nowPlus(session.dialect, expiresIn),
    })
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

/** Gives up a file that no upload has; the sweep deletes its bytes. Returns whether there was one. */
export async function dropUnlinkedFile(session: Session, fileId: string): Promise<boolean> {
  const { numUpdatedRows } = await updateState(
    session,
    { ids: [fileId] },
    transitions.dropUnlinkedFile,
  )
    .where('upload_token', 'is', null)
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** Gives up files that no upload has and whose time was over `grace` milliseconds ago. */
export async function dropExpiredFiles(
  session: Session,
  ids: readonly string[],
  grace: number,
): Promise<void> {
  await updateState(session, { ids }, transitions.dropExpiredFiles)
    .where('upload_token', 'is', null)
    .where('expires_at', '<=', nowPlus(session.dialect, -grace))
    .execute()
}

/**
 * Gives a file that is attached without an upload to a token that no upload has, so that a second submission finds it as
 * it finds one that a worker attached. Returns false where the file is taken or expired.
 */
export async function attachStagedFile(
  session: Session,
  file: FileRow,
  { token, key }: { readonly token: string; readonly key: string },
): Promise<boolean> {
  const { numUpdatedRows } = await updateState(
    session,
    { ids: [file.id] },
    transitions.attachStagedFile,
  )
    .set({ upload_token: token, blob_key: key, uploaded_bytes: file.byteSize })
    .where('upload_token', 'is', null)
    .where('expires_at', '>', now(session.dialect))
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** What attaching writes into a file's row. */
export interface AttachedFile {
  readonly id: string
  readonly uploadToken: string
  readonly byteSize: number
  /** Milliseconds that the row stays to answer a second submission. */
  readonly expiresIn: number
}

async function writeAttached(
  session: Session,
  { id, uploadToken, byteSize, expiresIn }: AttachedFile,
  transition: typeof transitions.attachFileWithHook | typeof transitions.attachFileWithoutHook,
): Promise<boolean> {
  const { numUpdatedRows } = await updateState(session, { ids: [id] }, transition)
    .set({
      uploaded_bytes: byteSize,
      last_error: null,
      public_error: null,
      expires_at: nowPlus(session.dialect, expiresIn),
    })
    .where('upload_token', '=', uploadToken)
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** A file is attached, and its `afterUpload` is still to run. The upload's row is locked. Returns false where it was given up. */
export function attachFileWithHook(session: Session, file: AttachedFile): Promise<boolean> {
  return writeAttached(session, file, transitions.attachFileWithHook)
}

/** A file is attached and needs nothing more: its attachment has no `afterUpload`. Otherwise as `attachFileWithHook`. */
export function attachFileWithoutHook(session: Session, file: AttachedFile): Promise<boolean> {
  return writeAttached(session, file, transitions.attachFileWithoutHook)
}

/** No hook is to run any more for attached files. `expiresIn`: milliseconds from now that their rows stay; default: as before. */
export async function finishFiles(
  session: Session,
  which: FileSelection,
  expiresIn?: number,
): Promise<void> {
  const update = updateState(session, which, transitions.finishFiles)
  await (
    expiresIn === undefined
      ? update
      : update.set({ expires_at: nowPlus(session.dialect, expiresIn) })
  ).execute()
}

/** Errors of a file: the log's text, and the one for visitors. null: the visitors' text is made when it is read. */
export interface FileErrors {
  readonly lastError: string
  readonly publicError: string | null
}

/** Files are not tried again until somebody asks for it. The upload's row is locked. */
export async function failFiles(
  session: Session,
  which: FileSelection,
  { lastError, publicError }: FileErrors,
): Promise<void> {
  await updateState(session, which, transitions.failFiles)
    .set({ last_error: lastError, public_error: publicError })
    .execute()
}

/** Failed files of an upload are tried again. The lane is locked. */
export async function retryFiles(session: Session, uploadToken: string): Promise<void> {
  await updateState(session, { uploadTokens: [uploadToken] }, transitions.retryFiles)
    .set({ last_error: null, public_error: null })
    .execute()
}

/** Gives up files of uploads that were not attached; the sweep deletes their bytes. `reason`: kept for whoever follows the upload. */
export async function dropLinkedFiles(
  session: Session,
  which: FileSelection,
  reason: 'superseded' | 'discarded' | null,
): Promise<void> {
  const update = updateState(session, which, transitions.dropLinkedFiles)
  await (reason === null ? update : update.set({ last_error: reason })).execute()
}

/** Deletes rows of files that are done or dropped. Their bytes were deleted before. */
export async function deleteFiles(session: Session, ids: readonly string[]): Promise<void> {
  await session.db
    .deleteFrom('files')
    .where('id', 'in', ids)
    .where(isInState(transitions.deleteFiles.from))
    .execute()
}
