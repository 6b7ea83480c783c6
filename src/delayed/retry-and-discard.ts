import { lockAttachments, lockAttachmentsOfKeys } from '../attachments/attachment-rows.ts'
import { lockLanes, type Lane, type LaneLock } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import { findFilesOfUploads, isAttached, type FileRow } from '../staging/file-rows.ts'
import { retryFiles } from '../staging/file-transitions.ts'
import { discardUploads } from './discard.ts'
import { listReplaceable } from './keeps.ts'
import { findOwnUpload, findUpload, type UploadRow } from './upload-rows.ts'
import { deleteUploads, insertUpload, returnGemRow } from './upload-transitions.ts'

/**
 * Submits again what is left of an upload: its row is deleted and inserted with the same token, at
 * the end of its lane and with new `replaces`. Does nothing to an upload that is running, attached
 * or gone. Wake the lane after the commit.
 */
export async function retryUpload(
  session: Session,
  kindOf: (lane: Lane) => 'one' | 'many',
  token: string,
): Promise<void> {
  await changeUpload(session, token, async (upload, lock) => {
    if (upload.state !== 'failed' && upload.state !== 'pending') return
    const files = await findFilesOfUploads(session, [token], { lock: true })
    // The next sweep reads a row of the gem again that could not be read.
    if (files.length === 0) return returnGemRow(session, token)
    const { lane, cleanBefore, keeps } = upload
    const replaces =
      kindOf(lane) === 'one' || cleanBefore ? await findReplaced(session, upload, files) : null
    await deleteUploads(session, [upload], { by: 'lane', lock })
    await retryFiles(session, token)
    await insertUpload(session, { token, lane, cleanBefore, replaces, keeps })
  })
}

/**
 * Ends an upload for good: the bytes of its files are deleted, files that are attached stay. Does
 * nothing to an upload that is attached or gone. Wake the lane after the commit.
 */
export async function discardUpload(session: Session, token: string): Promise<void> {
  await changeUpload(session, token, async (upload, lock) => {
    if (upload.state !== 'attached') await discardUploads(session, [upload], lock, 'discarded')
  })
}

/** Finds the attachments that a retry replaces: all but those that the upload kept or attached. */
async function findReplaced(
  session: Session,
  { lane, keeps }: UploadRow,
  files: readonly FileRow[],
): Promise<string[]> {
  const keys = files.flatMap((file) =>
    isAttached(file) && file.blobKey !== null ? [file.blobKey] : [],
  )
  const own = await lockAttachmentsOfKeys(session, lane, keys)
  const attached = await lockAttachments(session, lane)
  return listReplaceable(attached, keeps)
    .map(({ attachmentId }) => attachmentId)
    .filter((id) => !own.includes(id))
}

/** Runs a change of an upload that is there, with its lane and its row locked. */
async function changeUpload(
  session: Session,
  token: string,
  change: (upload: UploadRow, lock: LaneLock) => Promise<void>,
): Promise<void> {
  const found = await findOwnUpload(session, token)
  if (found === null) return
  const lock = await lockLanes(session, [found.lane])
  const upload = await findUpload(session, token, { lock: true })
  if (upload !== null) await change(upload, lock)
}
