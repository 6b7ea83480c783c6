import { findAttachment, type AttachmentRow } from '../attachments/attachment-rows.ts'
import { describeLane, type Lane } from '../attachments/lane.ts'
import { findBlob } from '../blobs/blob-rows.ts'
import type { Session } from '../database/session.ts'
import { isAttached, type FileRow } from '../staging/file-rows.ts'
import { KEEPS_NOTHING, type Keeps } from './keeps.ts'
import { createExpiredError, createUsedError } from './staged-file-errors.ts'
import type { UploadRow } from './upload-rows.ts'

/** The stored blobs and the linked files that a submission names. */
export interface NamedFiles {
  readonly lane: Lane
  readonly kind: 'one' | 'many'
  /** Ids of blobs. */
  readonly blobIds: readonly string[]
  /** Staged files that were submitted before. */
  readonly linked: readonly FileRow[]
  /** Uploads of the lane. */
  readonly uploads: readonly UploadRow[]
}

/**
 * Finds what a submission keeps. A double click or the Back button sends the same file again: this
 * is right for the attachment that the file is pending for, or was attached to. Throws
 * StagedFileAlreadyUsedError for another attachment, and StagedFileExpiredError for a file that a
 * younger upload dropped.
 */
export async function findKeeps(
  session: Session,
  { lane, kind, blobIds, linked, uploads }: NamedFiles,
): Promise<Keeps> {
  const blobs = new Set(blobIds)
  const files: string[] = []
  for (const file of linked) {
    const details = { ...describeLane(lane), filename: file.filename }
    const attachment = await findFileAttachment(session, lane, file)
    const isPending = uploads.some(({ token }) => token === file.uploadToken)
    if (attachment !== null) blobs.add(attachment.blob.id)
    else if (!isPending) throw createUsedError(details)
    // An upload that goes on may have lost single files to a younger one.
    else if (file.state === 'dropped') throw createExpiredError(file.filename, details)
    else files.push(file.id)
  }
  return kind === 'one' ? KEEPS_NOTHING : { blobs: [...blobs], files }
}

/** Finds the attachment that a file became in the lane, and locks it. */
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
