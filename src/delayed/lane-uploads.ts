import type { LaneAttachment } from '../attachments/attachment-rows.ts'
import type { Session } from '../database/session.ts'
import { findFilesOfUploads, isUnattached } from '../staging/file-rows.ts'
import { discardUploads } from './discard.ts'
import { countKeeps, mergeKeeps, type Keeps } from './keeps.ts'
import type { UploadRow } from './upload-rows.ts'
import type { LaneLock } from '../attachments/lane.ts'
import { dropLinkedFiles } from '../staging/file-transitions.ts'

type Replacements = Pick<UploadRow, 'replaces' | 'keeps'>

/** Writes what an upload replaces or keeps. The lane is locked. */
export async function updateReplacements(
  session: Session,
  upload: UploadRow,
  set: Partial<Replacements>,
): Promise<void> {
  const columns = Object.fromEntries(
    Object.entries(set).map(([name, value]) => [name, JSON.stringify(value)]),
  )
  await session.db
    .updateTable('uploads')
    .set(columns)
    .where('id', '=', BigInt(upload.rowId))
    .execute()
}

/** The part of a submission that decides about older uploads of the lane. */
export interface NewerSubmission {
  readonly keeps: Keeps
  /** Ids of the files that it brings. */
  readonly fileIds: readonly string[]
}

/**
 * Makes older uploads of a locked lane keep what a newer submission names, because the last
 * submission counts. An older upload goes on if the submission names one of its files: then it
 * keeps all files of the submission, also when it is retried and replaces what is attached by then.
 */
export async function protectFromOlder(
  session: Session,
  older: readonly UploadRow[],
  attached: readonly LaneAttachment[],
  submission: NewerSubmission,
): Promise<void> {
  const { keeps } = submission
  const named = new Set(
    attached
      .filter(({ blobId }) => keeps.blobs.includes(blobId))
      .map(({ attachmentId }) => attachmentId),
  )
  const tokens = older.map(({ token }) => token)
  const files = keeps.files.length === 0 ? [] : await findFilesOfUploads(session, tokens)
  const holders = new Set(
    files.flatMap(({ id, uploadToken }) => (keeps.files.includes(id) ? [uploadToken] : [])),
  )
  for (const upload of older) {
    const changed = yieldToNewer(upload, submission, {
      attachmentIds: named,
      sharesFile: holders.has(upload.token),
    })
    if (changed !== null) await updateReplacements(session, upload, changed)
  }
}

/** Files that a newer submission shares with an older upload. */
interface SharedFiles {
  /** Ids of attachments whose blobs the submission names. */
  readonly attachmentIds: ReadonlySet<string>
  /** The submission names a file of the upload. */
  readonly sharesFile: boolean
}

/**
 * Returns what an older upload replaces and keeps after a newer submission. null: as before,
 * because it appends or the submission names nothing new.
 */
export function yieldToNewer(
  upload: Replacements,
  { keeps, fileIds }: NewerSubmission,
  { attachmentIds, sharesFile }: SharedFiles,
): Replacements | null {
  if (upload.replaces === null) return null
  const replaces = upload.replaces.filter((id) => !attachmentIds.has(id))
  const more = sharesFile
    ? { blobs: keeps.blobs, files: [...keeps.files, ...fileIds] }
    : { blobs: [], files: keeps.files }
  const merged = mergeKeeps(upload.keeps, more)
  const isSame =
    replaces.length === upload.replaces.length && countKeeps(merged) === countKeeps(upload.keeps)
  return isSame ? null : { replaces, keeps: merged }
}

/**
 * Records in the other uploads of the lane that an upload attached a file: those that keep the file
 * keep its blob from now on, and younger ones that replace attachments replace this one too.
 */
export async function addToOtherUploads(
  session: Session,
  others: readonly UploadRow[],
  { order }: UploadRow,
  fileId: string,
  attached: LaneAttachment,
): Promise<void> {
  for (const upload of others) {
    const { replaces, keeps } = upload
    if (replaces === null) continue
    // The file's row is deleted in a day, and a retry may come later.
    if (keeps.files.includes(fileId))
      await updateReplacements(session, upload, {
        keeps: mergeKeeps(keeps, { blobs: [attached.blobId], files: [] }),
      })
    else if (upload.order > order)
      await updateReplacements(session, upload, { replaces: [...replaces, attached.attachmentId] })
  }
}

/** The older uploads of a lane after a submission. */
export interface SupersedeResult {
  /** Uploads that are deleted. */
  readonly ended: readonly UploadRow[]
  /** Uploads that go on with the files that the younger one named, and lost the others. */
  readonly reduced: readonly UploadRow[]
}

/** Ends older uploads, except for the files that the younger one named. */
export async function supersedeOlder(
  session: Session,
  older: readonly UploadRow[],
  { files: kept }: Keeps,
  lock: LaneLock,
): Promise<SupersedeResult> {
  const tokens = older.map(({ token }) => token)
  const files = kept.length === 0 ? [] : await findFilesOfUploads(session, tokens, { lock: true })
  const unattached = files.filter(isUnattached)
  const holders = new Set(
    unattached.flatMap((file) => (kept.includes(file.id) ? [file.uploadToken] : [])),
  )
  const dropped = unattached.filter(
    (file) => holders.has(file.uploadToken) && !kept.includes(file.id),
  )
  const ended = older.filter(({ token }) => !holders.has(token))
  await discardUploads(session, ended, lock, 'superseded')
  const ids = dropped.map(({ id }) => id)
  if (ids.length > 0) await dropLinkedFiles(session, { ids }, 'superseded')
  return {
    ended,
    reduced: older.filter(({ token }) => dropped.some(({ uploadToken }) => uploadToken === token)),
  }
}
