import {
  deleteLockedAttachments,
  findAttachment,
  insertAttachment,
  type AttachmentRow,
} from '../attachments/attachment-rows.ts'
import {
  findBlob,
  insertBlob,
  parseMetadata,
  saveIdentifiedType,
  type BlobRow,
  type NewBlob,
} from '../blobs/blob-rows.ts'
import { keepObject } from '../blobs/object-intents.ts'
import type { Session } from '../database/session.ts'
import { assignAttachedFile } from '../delayed/create-upload.ts'
import type { LinkPlan } from '../delayed/plan-link.ts'
import { describeLane } from '../attachments/lane.ts'
import { FileNotFoundError, ServiceError } from '../errors/errors.ts'
import type { AttachmentScope, OpenChange } from './scope.ts'
import type { StoredObject } from './submission.ts'
import { supersedeUploads } from './supersede.ts'

/**
 * Attaches objects that are at their services, after their submission was planned. On a has-one
 * they replace the attached file and end all pending uploads.
 */
export async function attachStored(
  change: OpenChange,
  scope: AttachmentScope,
  stored: readonly StoredObject[],
  plan: LinkPlan,
): Promise<AttachmentRow[]> {
  if (stored.length === 0) return []
  const { session } = change
  const { lane, definition, context } = scope
  if (definition.kind === 'one')
    await supersedeUploads(change, context, lane, {
      lock: plan.submission.lock,
      uploads: plan.older,
    })
  for (const object of stored)
    if (object.kind === 'object' && object.staged !== null)
      await assignAttachedFile(session, object.staged, object.blob.key, {
        ...describeLane(lane),
        filename: object.staged.filename,
      })
  const rows: AttachmentRow[] = []
  for (const { kind, blob } of stored)
    rows.push(
      await (kind === 'blob'
        ? attachExistingBlob(session, scope, blob)
        : attachNewBlob(session, scope, blob)),
    )
  if (definition.kind === 'one') {
    // A blob that was attached here before stays attached.
    const kept = new Set(rows.map((row) => row.attachmentId))
    const replaced = plan.attached.filter(({ attachmentId }) => !kept.has(attachmentId))
    await deleteLockedAttachments(session, replaced, { purge: true })
  }
  return rows
}

async function attachNewBlob(
  session: Session,
  { lane }: AttachmentScope,
  blob: NewBlob,
): Promise<AttachmentRow> {
  const row = await insertAttachment(session, lane, await insertBlob(session, blob))
  if (await keepObject(session, blob.key)) return row
  throw new ServiceError(
    `The object of ${blob.filename} was being cleaned up while it was attached. Try again.`,
    { details: { ...describeLane(lane), filename: blob.filename } },
  )
}

/**
 * Attaches a blob that has its row, and saves the content type that was identified from its bytes.
 */
async function attachExistingBlob(
  session: Session,
  { lane }: AttachmentScope,
  blob: BlobRow,
): Promise<AttachmentRow> {
  const details = { ...describeLane(lane), filename: blob.filename }
  const stored = await findBlob(session, { id: blob.id }, { lock: true })
  if (stored === null)
    throw new FileNotFoundError(`The blob of ${blob.filename} is gone.`, { details })
  const isIdentified =
    parseMetadata(stored.metadata)['identified'] === true || blob.contentType === null
  const row = isIdentified ? stored : await saveIdentifiedType(session, stored, blob.contentType)
  return (await findAttachment(session, lane, blob.id)) ?? insertAttachment(session, lane, row)
}
