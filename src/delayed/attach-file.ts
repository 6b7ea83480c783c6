import {
  deleteAttachments,
  insertAttachment,
  lockAttachmentIds,
  type AttachmentRow,
} from '../attachments/attachment-rows.ts'
import { lockLanes } from '../attachments/lane.ts'
import { insertBlob } from '../blobs/blob-rows.ts'
import { keepObject } from '../blobs/object-intents.ts'
import { nowPlus, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { ServiceError } from '../errors/errors.ts'
import type { DelayedContext, DelayedDefinition } from './context.ts'
import { uploadErrorDetails } from './context.ts'
import { discardUploads } from './discard.ts'
import { LeaseLostError } from './lease-lost.ts'
import type { PreparedFile } from './prepare-file.ts'
import { addToOtherUploads, supersedeOlder, type SupersedeResult } from './lane-uploads.ts'
import { findRecordUploads, type UploadRow } from './upload-rows.ts'

/** What the attaching transaction did. */
export interface AttachResult {
  /** null: a newer action had already put something else there; the upload dropped itself. */
  readonly attachment: AttachmentRow | null
  readonly superseded: SupersedeResult
  /** It was the last file: the lane is free. `gone`: no hook is to be told, and the upload's row is gone too. */
  readonly finished: boolean | 'gone'
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
    await lockLanes(session, [upload.lane])
    const lane = await findRecordUploads(
      session,
      upload.lane.type,
      [upload.lane.id],
      upload.lane.name,
      true,
    )
    // The fence: all of the lane is locked, and ours must still be ours.
    const held = lane.find(
      ({ rowId, leaseToken }) => rowId === upload.rowId && leaseToken === upload.leaseToken,
    )
    if (held === undefined) throw new LeaseLostError()
    const attached = definition.kind === 'one' ? await lockAttachmentIds(session, upload.lane) : []
    // One that was submitted when the attachment still was a has-many replaces what is there, file by file.
    const replaces = held.replaces ?? (definition.kind === 'one' ? attached : null)
    if (attached.some((id) => !replaces?.includes(id))) {
      await discardUploads(session, [held], 'superseded')
      return { attachment: null, superseded: { ended: [held], reduced: [] }, finished: true }
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
    const superseded = await replaceAttachments(session, held, replaces, lane)
    if (!(await keepObject(session, prepared.key)))
      throw new ServiceError(
        `The object of ${prepared.filename} was being cleaned up while it was attached; it is sent again.`,
        {
          details: uploadErrorDetails(upload, prepared.filename),
        },
      )
    const finished = await finishFile(session, delayed, definition, held, prepared)
    return { attachment, superseded, finished }
  })
}

async function replaceAttachments(
  session: Session,
  upload: UploadRow,
  replaces: readonly string[] | null,
  lane: readonly UploadRow[],
): Promise<SupersedeResult> {
  if (replaces === null) return { ended: [], reduced: [] }
  await deleteAttachments(session, upload.lane, replaces, { purge: true })
  const older = lane.filter(
    ({ order, state }) => order < upload.order && (state === 'pending' || state === 'failed'),
  )
  const superseded = await supersedeOlder(session, older, upload.keeps)
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
): Promise<AttachResult['finished']> {
  const result = await session.db
    .updateTable('files')
    .set({
      state: definition.afterUpload === undefined ? 'done' : 'attached',
      uploaded_bytes: prepared.byteSize,
      last_error: null,
      public_error: null,
      expires_at: nowPlus(session.dialect, delayed.expiresIn),
    })
    .where('id', '=', prepared.file.id)
    .where('upload_token', '=', upload.token)
    .where('state', '=', 'staged')
    .executeTakeFirst()
  if (Number(result.numUpdatedRows) !== 1) throw new LeaseLostError()
  const unfinished = session.db
    .selectFrom('files')
    .select('id')
    .where('upload_token', '=', upload.token)
    .where('state', 'in', ['staged', 'attached', 'failed'])
  if (definition.afterUpload === undefined && definition.afterUploadAll === undefined) {
    const { numDeletedRows } = await session.db
      .deleteFrom('uploads')
      .where('id', '=', BigInt(upload.rowId))
      .where((e) => e.not(e.exists(unfinished)))
      .executeTakeFirst()
    if (Number(numDeletedRows) === 1) return 'gone'
  }
  // Out of the running index: the lane is free, while the lease stays for the hooks.
  const { numUpdatedRows } = await session.db
    .updateTable('uploads')
    .set({ state: 'attached', attempts: 0, run_at: now(session.dialect) })
    .where('id', '=', BigInt(upload.rowId))
    .where((e) => e.not(e.exists(unfinished.where('state', '<>', 'attached'))))
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}
