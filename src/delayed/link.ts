import { sql } from 'kysely'
import { deleteAttachments, findAttachment, lockAttachmentIds } from '../attachments/attachment-rows.ts'
import { lockLanes, type Lane } from '../attachments/lane.ts'
import { findBlob } from '../blobs/blob-rows.ts'
import { now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import type { RecordIdType } from '../database/store.ts'
import { StagedFileAlreadyUsedError, StagedFileExpiredError, type ErrorDetails } from '../errors.ts'
import { findFiles, isAttached, type FileRow } from '../staging/file-rows.ts'
import { checkCount, checkSize, checkType, type Limits } from '../staging/limits.ts'
import { uuidv7 } from '../uuid.ts'
import { insertUpload, uploadsOf } from './upload-rows.ts'

export interface Submission {
  readonly lane: Lane
  readonly kind: 'one' | 'many'
  readonly fileIds: readonly string[]
  readonly cleanBefore: boolean
  readonly deletedIds: readonly string[]
  readonly maxFiles: number | undefined
  /** A file may have been staged without them, or for another attachment. */
  readonly limits: Limits
}

/**
 * Linking: what happens in the user's transaction. Short, whatever the files' size. Returns the upload's token; null
 * when no file came (then deletions took effect at once). Takes the lane lock just before the insert, so that the order
 * of ids is the order of commits within a lane.
 */
export async function linkUpload(session: Session, recordId: RecordIdType, submission: Submission): Promise<string | null> {
  const { lane, kind, cleanBefore } = submission
  const details: ErrorDetails = { record: { type: lane.type, id: lane.id }, attachment: lane.name }
  await lockLanes(session, [lane])
  const unique = [...new Set(submission.fileIds)]
  // Uploads are locked before files, as workers do it: which ones, is looked up without a lock.
  const isLinked = (file: FileRow): boolean => file.uploadToken !== null
  const counts = kind === 'many' && submission.maxFiles !== undefined
  const looksLinked = (await findFiles(session, unique)).some(isLinked)
  const lockUploads = () => uploadsOf(session, recordId, lane.type, [lane.id], lane.name, true)
  let uploads = counts || looksLinked ? await lockUploads() : null
  const found = await findFiles(session, unique, true)
  if (found.length < unique.length) throw expired('A staged file', details)
  const fresh = found.filter((file) => !isLinked(file))
  const used = found.filter(isLinked)
  // A snapshot that is older than the lane's lock did not show it.
  if (used.length > 0) uploads ??= await lockUploads()
  for (const file of used)
    if (!uploads?.some(({ token }) => token === file.uploadToken)) await checkAttached(session, recordId, lane, file, details)
  const existing = used[0]?.uploadToken ?? null
  const attached = await lockAttachmentIds(session, recordId, lane)
  const deleted = await deleteAttachments(session, recordId, lane, submission.deletedIds, true)
  const removed = new Set(deleted.map((row) => row.attachmentId))
  const kept = attached.filter((id) => !removed.has(id))
  if (fresh.length === 0) {
    if (existing === null && cleanBefore && kind === 'many') await deleteAttachments(session, recordId, lane, kept, true)
    return existing
  }
  const linked = kind === 'one' ? fresh.slice(-1) : fresh
  for (const file of linked) {
    checkSize(file.byteSize, submission.limits, { ...details, filename: file.filename })
    checkType(file.contentType, submission.limits, { ...details, filename: file.filename })
  }
  if (counts) {
    const others = cleanBefore ? 0 : await occupied(session, recordId, lane, kept)
    checkCount(linked.length + others, submission.maxFiles, details)
  }
  return linkFiles(session, recordId, {
    lane,
    files: linked,
    surplus: fresh.slice(0, -linked.length),
    cleanBefore: cleanBefore && kind === 'many',
    replaces: kind === 'one' || cleanBefore ? kept : null,
  })
}

export interface Link {
  readonly lane: Lane
  readonly files: readonly Pick<FileRow, 'id' | 'filename'>[]
  /** Of several files for a has-one only the last is linked; these are dropped. */
  readonly surplus: readonly Pick<FileRow, 'id'>[]
  readonly cleanBefore: boolean
  readonly replaces: readonly string[] | null
  /** The gem's row in whose place this one comes. */
  readonly originId?: string
}

/** Takes the files and writes the upload's row. The lane is locked. Returns the upload's token. */
export async function linkFiles(session: Session, recordId: RecordIdType, link: Link): Promise<string> {
  const { lane, surplus, cleanBefore, replaces, originId } = link
  const token = uuidv7()
  await takeFiles(session, token, link.files, { record: { type: lane.type, id: lane.id }, attachment: lane.name })
  if (surplus.length > 0)
    await session.db
      .updateTable('files')
      .set({ state: 'dropped' })
      .where(
        'id',
        'in',
        surplus.map((file) => file.id),
      )
      .where('upload_token', 'is', null)
      .execute()
  await insertUpload(session, recordId, { token, lane, cleanBefore, replaces, ...(originId === undefined ? {} : { originId }) })
  return token
}

/** Before the upload's row is written, so that a refusal leaves nothing behind even if the app commits all the same. */
async function takeFiles(session: Session, token: string, files: Link['files'], details: ErrorDetails): Promise<void> {
  const position = sql<number>`case id ${sql.join(
    files.map((file, index) => sql`when ${file.id} then ${sql.lit(index)}`),
    sql` `,
  )} end`
  const result = await session.db
    .updateTable('files')
    .set({ upload_token: token, position })
    .where(
      'id',
      'in',
      files.map((file) => file.id),
    )
    .where('upload_token', 'is', null)
    .where('state', '=', 'staged')
    .where('expires_at', '>', now(session.dialect))
    .executeTakeFirst()
  if (Number(result.numUpdatedRows) === files.length) return
  await session.db.updateTable('files').set({ upload_token: null }).where('upload_token', '=', token).execute()
  throw expired(files.map((file) => file.filename).join(', '), details)
}

/**
 * A double click or the Back button sends the same file again: fine for the slot that it is on its way to, or was attached
 * to; an error for another.
 */
async function checkAttached(session: Session, recordId: RecordIdType, lane: Lane, file: FileRow, details: ErrorDetails): Promise<void> {
  const blob = file.blobKey === null || !isAttached(file) ? null : await findBlob(session, { key: file.blobKey }, true)
  if (blob !== null && (await findAttachment(session, recordId, lane, blob.id)) !== null) return
  throw new StagedFileAlreadyUsedError(
    `${file.filename} was already submitted for another record or attachment. Stage it again to use it twice.`,
    { details: { ...details, filename: file.filename } },
  )
}

/** How many files a has-many has and will have: attached ones that nothing pending replaces, and those on their way. */
export async function occupied(session: Session, recordId: RecordIdType, lane: Lane, attached: readonly string[]): Promise<number> {
  const uploads = await uploadsOf(session, recordId, lane.type, [lane.id], lane.name, true)
  const replaced = new Set(uploads.flatMap((upload) => upload.replaces ?? []))
  const kept = attached.filter((id) => !replaced.has(id)).length
  if (uploads.length === 0) return kept
  let query = session.db
    .selectFrom('files')
    .select('id')
    .where(
      'upload_token',
      'in',
      uploads.map((upload) => upload.token),
    )
    .where('state', 'in', ['staged', 'failed'])
  if (session.dialect !== 'sqlite') query = query.forUpdate()
  return kept + (await query.execute()).length
}

function expired(filename: string, details: ErrorDetails): StagedFileExpiredError {
  return new StagedFileExpiredError(
    `${filename} is no longer staged: it expired, was discarded, or is being submitted by another request. Send it again.`,
    { details: { ...details, filename } },
  )
}
