import { sql } from 'kysely'
import {
  deleteLockedAttachments,
  findAttachment,
  lockAttachments,
  type AttachmentRow,
  type LaneAttachment,
} from '../attachments/attachment-rows.ts'
import type { Lane, LaneLock } from '../attachments/lane.ts'
import { findBlob } from '../blobs/blob-rows.ts'
import { lockRows } from '../database/row-locks.ts'
import { now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import {
  StagedFileAlreadyUsedError,
  StagedFileExpiredError,
  type ErrorDetails,
} from '../errors/errors.ts'
import { findFiles, isAttached, lockUnlinkedFiles, type FileRow } from '../staging/file-rows.ts'
import { checkFileCount, checkFileSize, checkFileType, type FileLimits } from '../staging/limits.ts'
import { uuidv7 } from '../database/uuid.ts'
import { KEEPS_NOTHING, findReplaceable, type Keeps } from './keeps.ts'
import { protectFromOlder } from './lane-uploads.ts'
import { findRecordUploads, type UploadRow, type UploadWithFiles } from './upload-rows.ts'
import { insertUpload } from './upload-transitions.ts'
import { dropUnlinkedFile, attachStagedFile } from '../staging/file-transitions.ts'

/** The changes of one attachment that one call asks for. */
export interface Submission {
  readonly lane: Lane
  /** The lane is locked. */
  readonly lock: LaneLock
  readonly kind: 'one' | 'many'
  /** Ids of staged files, in order. */
  readonly fileIds: readonly string[]
  /** Rows of the files that this call staged itself: no other submission knows their ids. */
  readonly stagedHere: readonly FileRow[]
  readonly cleanBefore: boolean
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
  readonly newFiles: readonly FileRow[]
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
 * The first half of linking: locks rows, reads them, and throws if the submission cannot be accepted. A form plans all its
 * attachments before it changes one, so that an error leaves nothing behind even if the app commits nevertheless. The
 * caller holds the lane's lock, so that the order of upload ids is the order of commits within a lane.
 */
export async function planLink(session: Session, submission: Submission): Promise<LinkPlan> {
  const { lane, kind, cleanBefore } = submission
  const details: ErrorDetails = { record: { type: lane.type, id: lane.id }, attachment: lane.name }
  const counts = kind === 'many' && submission.maxFiles !== undefined
  const stored = submission.blobs.filter((id) => id !== null)
  const { files: found, uploads } = await lockFilesAndUploads(session, submission, {
    lockUploads: counts || stored.length > 0 || (kind === 'one' && submission.blobs.length > 0),
  })
  if (found === null) throw createExpiredError('A staged file', details)
  const fresh = found.filter((file) => !isLinked(file))
  const used = found.filter(isLinked)
  const keeps = await findKeeps(session, submission, stored, used, uploads, details)
  const linked = kind === 'one' ? fresh.slice(-1) : fresh
  for (const file of linked) {
    const named = { ...details, filename: file.filename }
    if (file.state !== 'staged' || file.expired) throw createExpiredError(file.filename, named)
    checkFileSize(file.byteSize, submission.limits, named)
    checkFileType(file.contentType, submission.limits, named)
  }
  // Ids come from forms: they are compared here, because a database would refuse or cast text that is no id.
  const deletedIds = new Set(submission.deletedIds)
  const { removed = [], kept: attached = [] } = Object.groupBy(
    await lockAttachments(session, lane),
    ({ attachmentId }) => (deletedIds.has(attachmentId) ? 'removed' : 'kept'),
  )
  const isNew = (id: string): boolean => !attached.some(({ blobId }) => blobId === id)
  const rowless = submission.blobs.length - stored.length
  if (counts && linked.length + rowless + keeps.blobs.filter(isNew).length > 0) {
    const others = cleanBefore
      ? keeps.files.length
      : await countOccupied(session, uploads, findReplaceable(attached, keeps))
    checkFileCount(
      linked.length + rowless + keeps.blobs.length,
      submission.maxFiles,
      details,
      others,
    )
  }
  return {
    submission,
    newFiles: linked,
    surplus: fresh.slice(0, fresh.length - linked.length),
    existingToken: used[0]?.uploadToken ?? null,
    removed,
    attached,
    keeps,
    older: uploads,
    hasFiles:
      found.length + submission.blobs.length > 0 ||
      (attached.length > 0 && !(cleanBefore && kind === 'many')),
  }
}

const isLinked = (file: FileRow): boolean => file.uploadToken !== null

/**
 * Locks the files of a submission and, if one of them is linked already or `lockUploads` is set, the lane's uploads before
 * them: workers take these locks in the same order. The first look locks only files that no upload has. MySQL would also
 * lock the rows that a condition excludes, so the first look takes no lock there. `files` is null if one is missing.
 */
async function lockFilesAndUploads(
  session: Session,
  { lane, fileIds, stagedHere }: Submission,
  options: { readonly lockUploads: boolean },
): Promise<{ readonly files: readonly FileRow[] | null; readonly uploads: readonly UploadRow[] }> {
  const ids = [...new Set(fileIds)]
  const here = new Map(stagedHere.map((file) => [file.id, file]))
  const others = ids.filter((id) => !here.has(id))
  const lockUploads = () =>
    findRecordUploads(session, lane.type, [lane.id], { name: lane.name, lock: true })
  let uploads = options.lockUploads ? await lockUploads() : null
  let files: readonly FileRow[] | null = null
  if (uploads === null) {
    const takesLocks = session.dialect !== 'mysql'
    const unlinked = takesLocks
      ? await lockUnlinkedFiles(session, others)
      : (await findFiles(session, others)).filter((file) => !isLinked(file))
    if (unlinked.length < others.length) uploads = await lockUploads()
    else if (takesLocks) files = unlinked
  }
  files ??= await findFiles(session, others, { lock: true })
  // MySQL: the look without a lock may show a snapshot that is older than the lane's lock.
  if (files.some(isLinked)) uploads ??= await lockUploads()
  const byId = new Map([...here.values(), ...files].map((file) => [file.id, file]))
  const found = ids.flatMap((id) => byId.get(id) ?? [])
  return { files: found.length < ids.length ? null : found, uploads: uploads ?? [] }
}

/** The upload of a submission. */
export interface LinkedUpload {
  readonly token: string
  /** The rows that were written. null: the upload existed before, as after a double click. */
  readonly created: UploadWithFiles | null
}

/**
 * The second half of linking; its time does not depend on the files' size. null: the submission has no file, and its
 * deletions took effect at once.
 */
export async function link(session: Session, plan: LinkPlan): Promise<LinkedUpload | null> {
  const { submission, newFiles, existingToken, removed, attached, keeps, older } = plan
  const { lane, kind } = submission
  const cleanBefore = submission.cleanBefore && kind === 'many'
  await deleteLockedAttachments(session, removed, { purge: true })
  const fileIds = newFiles.map(({ id }) => id)
  await protectFromOlder(session, older, attached, { keeps, fileIds })
  const replaceable = attached.filter(({ blobId }) => !keeps.blobs.includes(blobId))
  if (newFiles.length > 0) {
    const upload = await createUpload(session, {
      lane,
      files: newFiles,
      surplus: plan.surplus,
      cleanBefore,
      replaces:
        kind === 'one' || cleanBefore ? replaceable.map(({ attachmentId }) => attachmentId) : null,
      keeps,
    })
    const { token } = upload
    const files = newFiles.map((file, position) => ({ ...file, uploadToken: token, position }))
    return { token, created: { upload, files } }
  }
  if (existingToken !== null) return { token: existingToken, created: null }
  if (cleanBefore) await deleteLockedAttachments(session, replaceable, { purge: true })
  return null
}

/** An upload to be written, with the files that it takes. */
export interface NewUpload {
  readonly lane: Lane
  readonly files: readonly Pick<FileRow, 'id' | 'filename'>[]
  /** Files that are dropped: of several files for a has-one only the last is linked. */
  readonly surplus: readonly Pick<FileRow, 'id'>[]
  readonly cleanBefore: boolean
  readonly replaces: readonly string[] | null
  readonly keeps: Keeps
  /** The gem's row in whose place this one comes. */
  readonly originId?: string
}

/** Links the files and writes the upload's row. The caller holds the lane's lock. */
export async function createUpload(session: Session, link: NewUpload): Promise<UploadRow> {
  const { lane, surplus, cleanBefore, replaces, keeps, originId } = link
  const token = uuidv7()
  await assignFiles(session, token, link.files, {
    record: { type: lane.type, id: lane.id },
    attachment: lane.name,
  })
  for (const { id } of surplus) await dropUnlinkedFile(session, id)
  return insertUpload(session, {
    token,
    lane,
    cleanBefore,
    replaces,
    keeps,
    ...(originId === undefined ? {} : { originId }),
  })
}

/** An update of files that nobody has taken, and that have not expired. */
function updateStaged(session: Session, ids: readonly string[]) {
  return session.db
    .updateTable('files')
    .where('id', 'in', ids)
    .where('upload_token', 'is', null)
    .where('state', '=', 'staged')
    .where('expires_at', '>', now(session.dialect))
}

/** Before the upload's row is written, so that a refusal leaves nothing behind even if the app commits all the same. */
async function assignFiles(
  session: Session,
  token: string,
  files: NewUpload['files'],
  details: ErrorDetails,
): Promise<void> {
  const position = sql<number>`case id ${sql.join(
    files.map((file, index) => sql`when ${file.id} then ${sql.lit(index)}`),
    sql` `,
  )} end`
  const ids = files.map((file) => file.id)
  const result = await updateStaged(session, ids)
    .set({ upload_token: token, position })
    .executeTakeFirst()
  if (Number(result.numUpdatedRows) === files.length) return
  await session.db
    .updateTable('files')
    .set({ upload_token: null })
    .where('upload_token', '=', token)
    .execute()
  throw createExpiredError(files.map((file) => file.filename).join(', '), details)
}

/** A staged file that is attached now: its row answers a second submission, as that of one that a worker attached. */
export async function assignAttachedFile(
  session: Session,
  file: FileRow,
  key: string,
  details: ErrorDetails,
): Promise<void> {
  if (!(await attachStagedFile(session, file, { token: uuidv7(), key })))
    throw createExpiredError(file.filename, details)
}

/**
 * A double click or the Back button sends the same file again: fine for the slot that it is on its way to, or was attached
 * to; an error for another.
 */
async function findKeeps(
  session: Session,
  { lane, kind }: Submission,
  stored: readonly string[],
  used: readonly FileRow[],
  uploads: readonly UploadRow[],
  details: ErrorDetails,
): Promise<Keeps> {
  const blobs = new Set(stored)
  const files: string[] = []
  for (const file of used) {
    const named = { ...details, filename: file.filename }
    const attachment = await findFileAttachment(session, lane, file)
    const isOnItsWay = uploads.some(({ token }) => token === file.uploadToken)
    if (attachment !== null) blobs.add(attachment.blob.id)
    else if (!isOnItsWay) throw createUsedError(named)
    // An upload that lives may have given up what a younger one replaced.
    else if (file.state === 'dropped') throw createExpiredError(file.filename, named)
    else files.push(file.id)
  }
  return kind === 'one' ? KEEPS_NOTHING : { blobs: [...blobs], files }
}

async function findFileAttachment(
  session: Session,
  lane: Lane,
  file: FileRow,
): Promise<AttachmentRow | null> {
  const blob =
    file.blobKey === null || !isAttached(file)
      ? null
      : await findBlob(session, { key: file.blobKey }, { lock: true })
  return blob === null ? null : findAttachment(session, lane, blob.id)
}

function createUsedError(
  details: ErrorDetails & { readonly filename: string },
): StagedFileAlreadyUsedError {
  return new StagedFileAlreadyUsedError(
    `${details.filename} was already submitted for another record or attachment. Stage it again to use it twice.`,
    { details },
  )
}

/** How many files a has-many has and will have: attached ones that nothing pending replaces, and those on their way. */
async function countOccupied(
  session: Session,
  uploads: readonly UploadRow[],
  attached: readonly string[],
): Promise<number> {
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
  query = lockRows(query, session.dialect)
  return kept + (await query.execute()).length
}

function createExpiredError(filename: string, details: ErrorDetails): StagedFileExpiredError {
  return new StagedFileExpiredError(
    `${filename} is no longer staged: it expired, was discarded, or is being submitted by another request. Send it again.`,
    { details: { ...details, filename } },
  )
}
