import {
  deleteAttachments,
  insertAttachment,
  lockAttachmentIds,
} from '../attachments/attachment-rows.ts'
import { lockLanes, type LaneLock } from '../attachments/lane.ts'
import { insertBlob } from '../blobs/blob-rows.ts'
import { abandonObject, keepObject } from '../blobs/object-intents.ts'
import type { Session } from '../database/session.ts'
import { trace } from '../diagnostics/tracing.ts'
import { ServiceError } from '../errors/errors.ts'
import { findFilesOfUploads, isUnattached } from '../staging/file-rows.ts'
import { attachFileWithHook, attachFileWithoutHook } from '../staging/file-transitions.ts'
import { uploadErrorDetails } from './context.ts'
import { discardUploads } from './discard.ts'
import {
  addToOtherUploads,
  supersedeOlder,
  updateReplacements,
  type SupersedeResult,
} from './lane-uploads.ts'
import { LeaseLostError } from './lease-lost.ts'
import { logSuperseded } from './log-superseded.ts'
import { clearChosenKey, type PreparedFile } from './prepare-file.ts'
import type { UploadAttempt } from './upload-attempt.ts'
import { lockLaneUploads, type UploadRow } from './upload-rows.ts'
import { attachUpload, deleteUploads } from './upload-transitions.ts'

/**
 * The state of an upload after a file of it was attached.
 * - `superseded`: a newer change had attached another file, so nothing is attached and the upload's
 *   row is deleted.
 * - `incomplete`: other files are not attached yet, and the upload keeps its lane.
 * - `attached`: all files are, the lane is free, and hooks are to be run.
 * - `finished`: all files are, no hook is to be run, and the upload's row is deleted.
 */
export type AttachOutcome = 'superseded' | 'incomplete' | 'attached' | 'finished'

interface AttachResult {
  readonly outcome: AttachOutcome
  readonly superseded: SupersedeResult
}

/**
 * Attaches a file whose object is stored, and logs the uploads that it supersedes. Throws
 * LeaseLostError, or an error of the database; then the object is deleted later.
 */
export async function attachFile(
  attempt: UploadAttempt,
  prepared: PreparedFile,
): Promise<AttachOutcome> {
  const { context, upload } = attempt
  const message = { ...uploadErrorDetails(upload, prepared.filename), upload: upload.token }
  let result: AttachResult
  try {
    result = await trace('attach', message, () => attachInTransaction(attempt, prepared))
  } catch (error) {
    const { session, database } = context.store
    // An object that is not attached must not stay, whatever became of its intent. The deletion
    // leaves alone what another worker has attached or is sending.
    await abandonObject(session, prepared.serviceName, prepared.key)
    // The database takes the key for another file's that differs in case or accents only.
    if (database.isUniqueViolation(error)) await clearChosenKey(attempt, prepared.file)
    throw error
  }
  logAllSuperseded(attempt, result.superseded)
  return result.outcome
}

/**
 * The one transaction that makes a stored object an attachment. It checks the lease, inserts blob
 * and attachment, deletes what they replace, supersedes older uploads and deletes the object's
 * intent. Locks are taken in this order: lane, uploads, files, blobs, attachments, jobs.
 */
function attachInTransaction(
  attempt: UploadAttempt,
  prepared: PreparedFile,
): Promise<AttachResult> {
  const { context, definition, upload } = attempt
  return context.store.transact(async (session) => {
    const lock = await lockLanes(session, [upload.lane])
    const uploads = await lockLaneUploads(session, upload.lane)
    // The fence: all uploads of the lane are locked, and this one must still have our lease.
    const held = uploads.find(
      ({ rowId, leaseToken }) => rowId === upload.rowId && leaseToken === upload.leaseToken,
    )
    if (held === undefined) throw new LeaseLostError()
    const attachedIds =
      definition.kind === 'one' ? await lockAttachmentIds(session, upload.lane) : []
    // An upload to a has-many that has become a has-one replaces what is there, file by file.
    const replacedIds = held.replaces ?? (definition.kind === 'one' ? attachedIds : null)
    if (attachedIds.some((attachedId) => !replacedIds?.includes(attachedId))) {
      await discardUploads(session, [held], lock, 'superseded')
      return { outcome: 'superseded', superseded: { ended: [held], reduced: [] } }
    }
    const blob = await insertBlob(session, {
      key: prepared.key,
      filename: prepared.filename,
      contentType: prepared.contentType,
      serviceName: prepared.serviceName,
      byteSize: prepared.byteSize,
      checksum: prepared.checksum,
    })
    const { attachmentId } = await insertAttachment(session, upload.lane, blob)
    const others = uploads.filter(({ rowId }) => rowId !== held.rowId)
    const attached = { attachmentId, blobId: blob.id }
    await addToOtherUploads(session, others, held, prepared.file.id, attached)
    const superseded = await replaceAttachments(session, held, replacedIds, uploads, lock)
    if (!(await keepObject(session, prepared.key)))
      throw new ServiceError(
        `The object of ${prepared.filename} was being deleted while it was attached; it is sent again.`,
        { details: uploadErrorDetails(upload, prepared.filename) },
      )
    return { outcome: await finishFile(session, attempt, prepared), superseded }
  })
}

/** `replacedIds`: of attachments; null: the upload adds to a has-many. The lane is locked. */
async function replaceAttachments(
  session: Session,
  upload: UploadRow,
  replacedIds: readonly string[] | null,
  uploads: readonly UploadRow[],
  lock: LaneLock,
): Promise<SupersedeResult> {
  if (replacedIds === null) return { ended: [], reduced: [] }
  await deleteAttachments(session, upload.lane, replacedIds, { purge: true })
  const older = uploads.filter(
    ({ order, state }) => order < upload.order && (state === 'pending' || state === 'failed'),
  )
  const superseded = await supersedeOlder(session, older, upload.keeps, lock)
  // The next files of this upload are added: they do not replace this one.
  if (upload.replaces !== null && upload.replaces.length > 0)
    await updateReplacements(session, upload, { replaces: [] })
  return superseded
}

async function finishFile(
  session: Session,
  { context, definition, upload }: UploadAttempt,
  prepared: PreparedFile,
): Promise<AttachOutcome> {
  const file = {
    id: prepared.file.id,
    uploadToken: upload.token,
    byteSize: prepared.byteSize,
    expiresIn: context.expiresIn,
  }
  const isAttached =
    definition.hooks.afterUpload === undefined
      ? await attachFileWithoutHook(session, file)
      : await attachFileWithHook(session, file)
  if (!isAttached) throw new LeaseLostError()
  const files = await findFilesOfUploads(session, [upload.token])
  if (files.some(isUnattached)) return 'incomplete'
  const hasHooks =
    definition.hooks.afterUpload !== undefined || definition.hooks.afterUploadAll !== undefined
  if (!hasHooks && !files.some(({ state }) => state === 'attached')) {
    await deleteUploads(session, [upload], { by: 'lease', leaseToken: upload.leaseToken })
    return 'finished'
  }
  await attachUpload(session, upload)
  return 'attached'
}

function logAllSuperseded({ context }: UploadAttempt, { ended, reduced }: SupersedeResult): void {
  for (const upload of ended)
    logSuperseded(context.log, upload, 'An upload was superseded by a newer one.')
  for (const upload of reduced)
    context.log('info', 'A newer upload superseded files of an older one, which keeps the rest.', {
      ...uploadErrorDetails(upload),
      upload: upload.token,
    })
}
