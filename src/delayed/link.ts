import { sql } from 'kysely'
import {
  deleteAttachments,
  findAttachment,
  lockAttachments,
  type AttachmentRow,
  type LaneAttachment,
} from '../attachments/attachment-rows.ts'
import { lockLanes, type Lane } from '../attachments/lane.ts'
import { findBlob } from '../blobs/blob-rows.ts'
import { lockRows } from '../database/row-locks.ts'
import { now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import {
  StagedFileAlreadyUsedError,
  StagedFileExpiredError,
  type ErrorDetails,
} from '../errors/errors.ts'
import { findFiles, isAttached, type FileRow } from '../staging/file-rows.ts'
import { checkFileCount, checkFileSize, checkFileType, type FileLimits } from '../staging/limits.ts'
import { uuidv7 } from '../database/uuid.ts'
import { KEEPS_NOTHING, findReplaceable, type Keeps } from './keeps.ts'
import { protectFromOlder } from './lane-uploads.ts'
import { insertUpload, findRecordUploads, type UploadRow } from './upload-rows.ts'

export interface Submission {
  readonly lane: Lane
  readonly kind: 'one' | 'many'
  readonly fileIds: readonly string[]
  readonly cleanBefore: boolean
  readonly deletedIds: readonly string[]
  /** Ids of blobs that are attached in the same transaction; null for one whose row comes with it. */
  readonly blobs: readonly (string | null)[]
  readonly maxFiles: number | undefined
  /** A file may have been staged without them, or for another attachment. */
  readonly limits: FileLimits
}

/** A submission that nothing speaks against: the lane and what it concerns are locked, and nothing is written yet. */
export interface LinkPlan {
  readonly submission: Submission
  readonly newFiles: readonly FileRow[]
  readonly surplus: readonly FileRow[]
  /** The upload that has files of this submission from before: a double click. */
  readonly existingToken: string | null
  /** What is attached and is not deleted. */
  readonly attached: readonly LaneAttachment[]
  readonly keeps: Keeps
  /** Uploads of the lane, where the submission names anything that they may replace. */
  readonly older: readonly UploadRow[]
  /** With it, something is attached or on its way. */
  readonly hasFiles: boolean
}

/**
 * The first half of linking: locks, looks, and refuses what cannot be. All slots of a form are planned before one of them
 * is changed, so that a refusal leaves nothing behind even if the app commits all the same. Takes the lane lock before
 * the insert, so that the order of ids is the order of commits within a lane.
 */
export async function planLink(session: Session, submission: Submission): Promise<LinkPlan> {
  const { lane, kind, cleanBefore } = submission
  const details: ErrorDetails = { record: { type: lane.type, id: lane.id }, attachment: lane.name }
  await lockLanes(session, [lane])
  const unique = [...new Set(submission.fileIds)]
  // Uploads are locked before files, as workers do it: which ones, is looked up without a lock.
  const isLinked = (file: FileRow): boolean => file.uploadToken !== null
  const counts = kind === 'many' && submission.maxFiles !== undefined
  const lockUploads = () => findRecordUploads(session, lane.type, [lane.id], lane.name, true)
  const stored = submission.blobs.filter((id) => id !== null)
  const needsUploads =
    counts || stored.length > 0 || (await findFiles(session, unique)).some(isLinked)
  let uploads = needsUploads ? await lockUploads() : null
  const found = await findFiles(session, unique, true)
  if (found.length < unique.length) throw createExpiredError('A staged file', details)
  const fresh = found.filter((file) => !isLinked(file))
  const used = found.filter(isLinked)
  // A snapshot that is older than the lane's lock did not show it.
  if (used.length > 0) uploads ??= await lockUploads()
  const keeps = await findKeeps(session, submission, stored, used, uploads ?? [], details)
  const linked = kind === 'one' ? fresh.slice(-1) : fresh
  for (const file of linked) {
    const named = { ...details, filename: file.filename }
    if (file.state !== 'staged' || file.expired) throw createExpiredError(file.filename, named)
    checkFileSize(file.byteSize, submission.limits, named)
    checkFileType(file.contentType, submission.limits, named)
  }
  const removed = new Set(submission.deletedIds)
  const attached = (await lockAttachments(session, lane)).filter(
    ({ attachmentId }) => !removed.has(attachmentId),
  )
  const isNew = (id: string): boolean => !attached.some(({ blobId }) => blobId === id)
  const rowless = submission.blobs.length - stored.length
  if (counts && linked.length + rowless + keeps.blobs.filter(isNew).length > 0) {
    const others = cleanBefore
      ? keeps.files.length
      : await countOccupied(session, uploads ?? [], findReplaceable(attached, keeps))
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
    attached,
    keeps,
    older: uploads ?? [],
    hasFiles:
      found.length + submission.blobs.length > 0 ||
      (attached.length > 0 && !(cleanBefore && kind === 'many')),
  }
}

/**
 * The second half: short, whatever the files' size. Returns the upload's token; null when no file came (then deletions
 * took effect at once).
 */
export async function link(session: Session, plan: LinkPlan): Promise<string | null> {
  const {
    submission,
    newFiles: linked,
    surplus,
    existingToken: existing,
    attached,
    keeps,
    older,
  } = plan
  const { lane, kind, deletedIds } = submission
  const cleanBefore = submission.cleanBefore && kind === 'many'
  const others = findReplaceable(attached, keeps)
  await deleteAttachments(session, lane, deletedIds, true)
  await protectFromOlder(session, older, attached, { keeps, fileIds: linked.map(({ id }) => id) })
  if (linked.length > 0)
    return createUpload(session, {
      lane,
      files: linked,
      surplus,
      cleanBefore,
      replaces: kind === 'one' || cleanBefore ? others : null,
      keeps,
    })
  if (existing === null && cleanBefore) await deleteAttachments(session, lane, others, true)
  return existing
}

export interface NewUpload {
  readonly lane: Lane
  readonly files: readonly Pick<FileRow, 'id' | 'filename'>[]
  /** Of several files for a has-one only the last is linked; these are dropped. */
  readonly surplus: readonly Pick<FileRow, 'id'>[]
  readonly cleanBefore: boolean
  readonly replaces: readonly string[] | null
  readonly keeps: Keeps
  /** The gem's row in whose place this one comes. */
  readonly originId?: string
}

/** Takes the files and writes the upload's row. The lane is locked. Returns the upload's token. */
export async function createUpload(session: Session, link: NewUpload): Promise<string> {
  const { lane, surplus, cleanBefore, replaces, keeps, originId } = link
  const token = uuidv7()
  await assignFiles(session, token, link.files, {
    record: { type: lane.type, id: lane.id },
    attachment: lane.name,
  })
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
  await insertUpload(session, {
    token,
    lane,
    cleanBefore,
    replaces,
    keeps,
    ...(originId === undefined ? {} : { originId }),
  })
  return token
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
  const result = await updateStaged(session, [file.id])
    .set({ upload_token: uuidv7(), state: 'done', blob_key: key, uploaded_bytes: file.byteSize })
    .executeTakeFirst()
  if (Number(result.numUpdatedRows) !== 1) throw createExpiredError(file.filename, details)
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
