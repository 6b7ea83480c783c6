import type { LaneAttachment } from '../attachments/attachment-rows.ts'
import type { Session } from '../database/session.ts'
import { findFilesOfUploads } from '../staging/file-rows.ts'
import { discardUploads } from './discard.ts'
import type { Keeps } from './keeps.ts'
import type { UploadRow } from './upload-rows.ts'
import type { LaneLock } from '../attachments/lane.ts'
import { dropLinkedFiles } from '../staging/file-transitions.ts'

async function updateReplacements(
  session: Session,
  upload: UploadRow,
  set: Partial<Pick<UploadRow, 'keeps' | 'replaces'>>,
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

const mergeKeeps = (keeps: Keeps, more: Keeps): Keeps => ({
  blobs: [...new Set([...keeps.blobs, ...more.blobs])],
  files: [...new Set([...keeps.files, ...more.files])],
})
const countKeeps = ({ blobs, files }: Keeps): number => blobs.length + files.length

/** A submission, as uploads of its lane that are older have to know it. */
export interface NewerSubmission {
  readonly keeps: Keeps
  /** Ids of the files that it brings. */
  readonly fileIds: readonly string[]
}

/**
 * The last submission counts: what it names, older uploads of the lane do not take away either. One whose file it names goes on
 * beside it: even its retry, which replaces what is there by then, leaves all of the submission. The lane is locked.
 */
export async function protectFromOlder(
  session: Session,
  older: readonly UploadRow[],
  attached: readonly LaneAttachment[],
  { keeps, fileIds: brings }: NewerSubmission,
): Promise<void> {
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
    if (upload.replaces === null) continue
    const replaces = upload.replaces.filter((id) => !named.has(id))
    const more = holders.has(upload.token)
      ? { blobs: keeps.blobs, files: [...keeps.files, ...brings] }
      : { blobs: [], files: keeps.files }
    const all = mergeKeeps(upload.keeps, more)
    if (replaces.length === upload.replaces.length && countKeeps(all) === countKeeps(upload.keeps))
      continue
    await updateReplacements(session, upload, { replaces, keeps: all })
  }
}

/**
 * An upload attached a file. Others of its lane that keep the file keep its blob from now on; the younger ones of the rest that
 * replace what there was replace it too.
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
    // The file's row goes in a day; a retry may come later.
    if (keeps.files.includes(fileId))
      await updateReplacements(session, upload, {
        keeps: mergeKeeps(keeps, { blobs: [attached.blobId], files: [] }),
      })
    else if (upload.order > order)
      await updateReplacements(session, upload, { replaces: [...replaces, attached.attachmentId] })
  }
}

/** Older uploads that a younger one ended, and those that go on with the files that it named. */
export interface SupersedeResult {
  readonly ended: readonly UploadRow[]
  readonly reduced: readonly UploadRow[]
}

/** Ends older uploads, but for the files that the younger one named. */
export async function supersedeOlder(
  session: Session,
  older: readonly UploadRow[],
  { files: kept }: Keeps,
  lock: LaneLock,
): Promise<SupersedeResult> {
  const tokens = older.map(({ token }) => token)
  const files = kept.length === 0 ? [] : await findFilesOfUploads(session, tokens, { lock: true })
  const waiting = files.filter(({ state }) => state === 'staged' || state === 'failed')
  const living = new Set(
    waiting.flatMap((file) => (kept.includes(file.id) ? [file.uploadToken] : [])),
  )
  const dropped = waiting.filter((file) => living.has(file.uploadToken) && !kept.includes(file.id))
  const ended = older.filter(({ token }) => !living.has(token))
  await discardUploads(session, ended, lock, 'superseded')
  const ids = dropped.map(({ id }) => id)
  if (ids.length > 0) await dropLinkedFiles(session, { ids }, 'superseded')
  return {
    ended,
    reduced: older.filter(({ token }) => dropped.some(({ uploadToken }) => uploadToken === token)),
  }
}
