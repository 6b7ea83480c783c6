import { lockAttachments, type LaneAttachment } from '../attachments/attachment-rows.ts'
import { describeLane, type LaneLock } from '../attachments/lane.ts'
import { lockRows } from '../database/row-locks.ts'
import type { Session } from '../database/session.ts'
import type { ErrorDetails } from '../errors/errors.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { checkFileCount, checkFileSize, checkFileType, type FileLimits } from '../staging/limits.ts'
import { findKeeps } from './find-keeps.ts'
import { listReplaceable, type Keeps } from './keeps.ts'
import { isLinked, lockSubmission, type SubmittedFiles } from './lock-submission.ts'
import { createExpiredError } from './staged-file-errors.ts'
import type { UploadRow } from './upload-rows.ts'

/** The changes of one attachment that one call asks for. */
export interface Submission extends SubmittedFiles {
  /** The lock of the lane. */
  readonly lock: LaneLock
  readonly kind: 'one' | 'many'
  readonly cleanBefore: boolean
  /** Ids of attachments to delete. They come from forms. */
  readonly deletedIds: readonly string[]
  /** Ids of blobs that the same transaction attaches; null for a blob whose row it inserts. */
  readonly blobs: readonly (string | null)[]
  readonly maxFiles: number | undefined
  /** Checked again: a file may have been staged without limits, or for another attachment. */
  readonly limits: FileLimits
}

/** An accepted submission. Its rows are locked, and nothing is written yet. */
export interface LinkPlan {
  readonly submission: Submission
  /** Files that the upload takes, in order. */
  readonly newFiles: readonly FileRow[]
  /** Files that are dropped: of several files for a has-one only the last is linked. */
  readonly surplus: readonly FileRow[]
  /** The upload that has files of this submission from before: a double click. */
  readonly existingToken: string | null
  /** Attachments that the submission deletes. */
  readonly removed: readonly LaneAttachment[]
  /** Attachments that it does not delete. */
  readonly attached: readonly LaneAttachment[]
  readonly keeps: Keeps
  /** Uploads of the lane; looked up only where the submission counts, keeps or supersedes them. */
  readonly older: readonly UploadRow[]
  /** After this submission, a file is attached or pending. */
  readonly hasFiles: boolean
}

/**
 * The first half of linking: locks rows, reads them, and throws if the submission cannot be
 * accepted. A form plans all its attachments before it changes one, so that an error leaves nothing
 * behind even if the app commits nevertheless. The caller holds the lane's lock, so that the order
 * of upload ids is the order of commits within a lane.
 */
export async function planLink(session: Session, submission: Submission): Promise<LinkPlan> {
  const { lane, kind, cleanBefore } = submission
  const details = describeLane(lane)
  const counts = kind === 'many' && submission.maxFiles !== undefined
  const blobIds = submission.blobs.filter((id) => id !== null)
  const { files: found, uploads } = await lockSubmission(session, submission, {
    needsUploads: counts || blobIds.length > 0 || (kind === 'one' && submission.blobs.length > 0),
  })
  if (found === null) throw createExpiredError('A staged file', details)
  const fresh = found.filter((file) => !isLinked(file))
  const linked = found.filter(isLinked)
  const keeps = await findKeeps(session, { lane, kind, blobIds, linked, uploads })
  const newFiles = kind === 'one' ? fresh.slice(-1) : fresh
  for (const file of newFiles) checkStagedFile(file, submission.limits, details)
  // Ids come from forms: they are compared here, because a database would refuse or cast text that
  // is no id.
  const deletedIds = new Set(submission.deletedIds)
  const { removed = [], kept: attached = [] } = Object.groupBy(
    await lockAttachments(session, lane),
    ({ attachmentId }) => (deletedIds.has(attachmentId) ? 'removed' : 'kept'),
  )
  const plan: LinkPlan = {
    submission,
    newFiles,
    surplus: fresh.slice(0, fresh.length - newFiles.length),
    existingToken: linked[0]?.uploadToken ?? null,
    removed,
    attached,
    keeps,
    older: uploads,
    hasFiles:
      found.length + submission.blobs.length > 0 ||
      (attached.length > 0 && !(cleanBefore && kind === 'many')),
  }
  if (counts) await checkCount(session, plan, details)
  return plan
}

/** Throws for a file that is no longer staged, or that the attachment does not take. */
function checkStagedFile(file: FileRow, limits: FileLimits, details: ErrorDetails): void {
  const { filename } = file
  if (file.state !== 'staged' || file.expired) throw createExpiredError(filename, details)
  checkFileSize(file.byteSize, limits, { ...details, filename })
  checkFileType(file.contentType, limits, { ...details, filename })
}

/**
 * Throws TooManyFilesError if the submission brings files and there are more than `maxFiles` then.
 */
async function checkCount(session: Session, plan: LinkPlan, details: ErrorDetails): Promise<void> {
  const { submission, newFiles, attached, keeps, older } = plan
  const isNew = (blobId: string): boolean => !attached.some((each) => each.blobId === blobId)
  // Blobs without a row are new in any case.
  const added = newFiles.length + submission.blobs.filter((id) => id === null).length
  if (added + keeps.blobs.filter(isNew).length === 0) return
  const others = submission.cleanBefore
    ? keeps.files.length
    : await countOccupied(session, older, listReplaceable(attached, keeps))
  checkFileCount(added + keeps.blobs.length, submission.maxFiles, details, others)
}

/**
 * Counts the files that a has-many has and will have: attached ones that no pending upload
 * replaces, and pending ones. Locks the pending files.
 */
async function countOccupied(
  session: Session,
  uploads: readonly UploadRow[],
  attached: readonly LaneAttachment[],
): Promise<number> {
  const replaced = new Set(uploads.flatMap((upload) => upload.replaces ?? []))
  const kept = attached.filter(({ attachmentId }) => !replaced.has(attachmentId)).length
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
  query = lockRows(query, session.dialect)
  return kept + (await query.execute()).length
}
