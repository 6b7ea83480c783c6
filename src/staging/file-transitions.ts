import { createNotReadError } from '../database/errors.ts'
import { now, nowPlus } from '../database/expressions.ts'
import type { FileState } from '../database/schema.ts'
import type { Session } from '../database/session.ts'
import { isInState, type Transitions } from '../database/transitions.ts'
import { hasAllChunks } from './chunks.ts'
import {
  fileColumns,
  toFileRow,
  findFiles,
  insertChunk,
  STAGING_EXPIRES_MS,
  type FileErrors,
  type FileRow,
  type StagedBytes,
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
 * The changes of a file's state, by the name of the function below that makes each. No other module
 * writes the state. A test compares the table with the diagram in docs/how-it-works.md.
 */
export const FILE_TRANSITIONS: Transitions<FileState> = transitions

/** Files by their own ids, or all files of uploads. */
export type FileSelection =
  { readonly ids: readonly string[] } | { readonly uploadTokens: readonly string[] }

/**
 * Builds the update of a transition: it finds only files in the states that the transition begins
 * in.
 */
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

/** Inserts a file whose bytes are still to come. */
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

/**
 * Inserts a file that came as one piece, and its only chunk. Call it in a transaction, so that both
 * are written or neither. `expiresIn` is in milliseconds.
 */
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
  const read = row === undefined ? (await findFiles(session, [file.id]))[0] : toFileRow(row)
  if (read === undefined) throw createNotReadError(`The staged file ${file.filename}`)
  return read
}

/**
 * Makes a file usable for `expiresIn` milliseconds. Returns null if it was dropped meanwhile, or if
 * bytes are missing.
 */
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
    .where(hasAllChunks(session, file))
  if (session.returning) {
    const row = await update.returning(fileColumns(session.dialect, 'files')).executeTakeFirst()
    return row === undefined ? null : toFileRow(row)
  }
  if (Number((await update.executeTakeFirst()).numUpdatedRows) !== 1) return null
  return (await findFiles(session, [file.id]))[0] ?? null
}

/**
 * Drops a file that is in no upload; the sweep deletes its bytes. Returns whether there was one.
 */
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

/** Drops files that are in no upload and expired `grace` milliseconds ago or earlier. */
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
 * Marks a file as attached that was attached without an upload. It gets a token that no upload has,
 * so that a second submission finds it like a file that a worker attached. Returns false if the
 * file was submitted before or has expired.
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

/** The values that are written into a file's row when it is attached. */
export interface AttachedFile {
  readonly id: string
  readonly uploadToken: string
  readonly byteSize: number
  /** Milliseconds that the row is kept, so that a second submission of the file finds it. */
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

/**
 * Marks a file as attached, with its `afterUpload` still to run. The upload's row must be locked.
 * Returns false if the file was dropped.
 */
export function attachFileWithHook(session: Session, file: AttachedFile): Promise<boolean> {
  return writeAttached(session, file, transitions.attachFileWithHook)
}

/**
 * Marks a file as attached and done, because its attachment has no `afterUpload`. Otherwise as
 * `attachFileWithHook`.
 */
export function attachFileWithoutHook(session: Session, file: AttachedFile): Promise<boolean> {
  return writeAttached(session, file, transitions.attachFileWithoutHook)
}

/**
 * Marks attached files as done: none of their hooks runs any more. `expiresIn`: milliseconds from
 * now that their rows are kept; default: unchanged.
 */
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

/**
 * Marks files as failed: they are not tried again before a manual retry. The upload's row must be
 * locked.
 */
export async function failFiles(
  session: Session,
  which: FileSelection,
  { lastError, publicError }: FileErrors,
): Promise<void> {
  await updateState(session, which, transitions.failFiles)
    .set({ last_error: lastError, public_error: publicError })
    .execute()
}

/** Makes the failed files of an upload staged again. The lane must be locked. */
export async function retryFiles(session: Session, uploadToken: string): Promise<void> {
  await updateState(session, { uploadTokens: [uploadToken] }, transitions.retryFiles)
    .set({ last_error: null, public_error: null })
    .execute()
}

/** Reason of an upload's end without an attachment. It is stored with its files, for `status`. */
export type DiscardReason = 'superseded' | 'discarded'

/**
 * Drops files of uploads that are not attached; the sweep deletes their bytes. `reason` is kept as
 * their last error, for pages that follow the upload; null: none.
 */
export async function dropLinkedFiles(
  session: Session,
  which: FileSelection,
  reason: DiscardReason | null,
): Promise<void> {
  const update = updateState(session, which, transitions.dropLinkedFiles)
  await (reason === null ? update : update.set({ last_error: reason })).execute()
}

/** Deletes the rows of files that are done or dropped. Their chunks must be deleted before. */
export async function deleteFiles(session: Session, ids: readonly string[]): Promise<void> {
  await session.db
    .deleteFrom('files')
    .where('id', 'in', ids)
    .where(isInState(transitions.deleteFiles.from))
    .execute()
}
