import {
  deleteAttachments,
  insertAttachment,
  lockAttachmentIds,
  type AttachmentRow,
} from '../attachments/attachment-rows.ts'
import { lockLanes, type LaneLock } from '../attachments/lane.ts'
import { insertBlob } from '../blobs/blob-rows.ts'
import { keepObject } from '../blobs/object-intents.ts'
import type { Session } from '../database/session.ts'
import { ServiceError } from '../errors/errors.ts'
import type { DelayedContext, DelayedDefinition } from './context.ts'
import { uploadErrorDetails } from './context.ts'
import { discardUploads } from './discard.ts'
import { LeaseLostError } from './lease-lost.ts'
import type { PreparedFile } from './prepare-file.ts'
import { addToOtherUploads, supersedeOlder, type SupersedeResult } from './lane-uploads.ts'
import { findRecordUploads, type UploadRow } from './upload-rows.ts'
import { attachFileWithoutHook, attachFileWithHook } from '../staging/file-transitions.ts'
import { findFilesOfUploads } from '../staging/file-rows.ts'
import { deleteUploads, attachUpload } from './upload-transitions.ts'

/** What the attaching transaction did. */
export interface AttachResult {
  /** null: a newer action had already put something else there; the upload dropped itself. */
  readonly attachment: AttachmentRow | null
  readonly superseded: SupersedeResult
  /**
   * Work that the upload still has. `files`: others are not attached, and the lane is busy. `hooks`: the lane is free.
   * `nothing`: the upload's row is deleted.
   */
  readonly rest: 'files' | 'hooks' | 'nothing'
}

/**
 * The one transaction that makes a stored object an attachment: fence, blob, attachment, what it replaces goes, older
 * uploads are superseded, the object's intent is removed. Locks are taken in the order lane, uploads, files, blobs,
 * attachments, jobs.
 */
export async function attachFile(
  delayed: DelayedContext,
  definition: DelayedDefinition,
  upload: UploadRow,
  prepared: PreparedFile,
): Promise<AttachResult> {
  return delayed.store.transact(async (session) => {
    const lock = await lockLanes(session, [upload.lane])
    const lane = await findRecordUploads(session, upload.lane.type, [upload.lane.id], {
      name: upload.lane.name,
      lock: true,
    })
    // The fence: all of the lane is locked, and ours must still be ours.
    const held = lane.find(
      ({ rowId, leaseToken }) => rowId === upload.rowId && leaseToken === upload.leaseToken,
    )
    if (held === undefined) throw new LeaseLostError()
    const attached = definition.kind === 'one' ? await lockAttachmentIds(session, upload.lane) : []
    // One that was submitted when the attachment still was a has-many replaces what is there, file by file.
    const replaces = held.replaces ?? (definition.kind === 'one' ? attached : null)
    if (attached.some((id) => !replaces?.includes(id))) {
      await discardUploads(session, [held], lock, 'superseded')
      return { attachment: null, superseded: { ended: [held], reduced: [] }, rest: 'nothing' }
    }
    const blob = await insertBlob(session, {
      key: prepared.key,
      filename: prepared.filename,
      contentType: prepared.contentType,
      serviceName: prepared.service,
      byteSize: prepared.byteSize,
      checksum: prepared.checksum,
    })
    const attachment = await insertAttachment(session, upload.lane, blob)
    const others = lane.filter(({ rowId }) => rowId !== held.rowId)
    await addToOtherUploads(session, others, held, prepared.file.id, {
      attachmentId: attachment.attachmentId,
      blobId: blob.id,
    })
    const superseded = await replaceAttachments(session, held, replaces, lane, lock)
    if (!(await keepObject(session, prepared.key)))
      throw new ServiceError(
        `The object of ${prepared.filename} was being cleaned up while it was attached; it is sent again.`,
        {
          details: uploadErrorDetails(upload, prepared.filename),
        },
      )
    const rest = await finishFile(session, delayed, definition, held, prepared)
    return { attachment, superseded, rest }
  })
}

async function replaceAttachments(
  session: Session,
  upload: UploadRow,
  replaces: readonly string[] | null,
  lane: readonly UploadRow[],
  lock: LaneLock,
): Promise<SupersedeResult> {
  if (replaces === null) return { ended: [], reduced: [] }
  await deleteAttachments(session, upload.lane, replaces, { purge: true })
  const older = lane.filter(
    ({ order, state }) => order < upload.order && (state === 'pending' || state === 'failed'),
  )
  const superseded = await supersedeOlder(session, older, upload.keeps, lock)
  // What this upload itself attaches next is added, not replaced.
  if (upload.replaces !== null && upload.replaces.length > 0)
    await session.db
      .updateTable('uploads')
      .set({ replaces: '[]' })
      .where('id', '=', BigInt(upload.rowId))
      .execute()
  return superseded
}

async function finishFile(
  session: Session,
  delayed: DelayedContext,
  definition: DelayedDefinition,
  upload: UploadRow,
  prepared: PreparedFile,
): Promise<AttachResult['rest']> {
  const file = {
    id: prepared.file.id,
    uploadToken: upload.token,
    byteSize: prepared.byteSize,
    expiresIn: delayed.expiresIn,
  }
  const isAttached =
    definition.afterUpload === undefined
      ? await attachFileWithoutHook(session, file)
      : await attachFileWithHook(session, file)
  if (!isAttached) throw new LeaseLostError()
  const states = (await findFilesOfUploads(session, [upload.token])).map(({ state }) => state)
  if (states.includes('staged') || states.includes('failed')) return 'files'
  const hasHooks = definition.afterUpload !== undefined || definition.afterUploadAll !== undefined
  if (!hasHooks && !states.includes('attached')) {
    await deleteUploads(session, [upload], { by: 'lease', leaseToken: upload.leaseToken })
    return 'nothing'
  }
  await attachUpload(session, upload)
  return 'hooks'
}
