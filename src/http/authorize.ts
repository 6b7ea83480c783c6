import type { AuthorizeSubject, StorageContext } from '../attached/context.ts'
import { findAttachmentsOfBlob } from '../attachments/attachment-rows.ts'
import type { BlobRow } from '../blobs/blob-rows.ts'
import { toStoredBlob } from '../attached/stored-values.ts'
import { forbidden } from './responses.ts'

/** Throws the answer 403 unless the app allows it. */
export async function assertAllowed(
  { authorize }: StorageContext,
  request: Request,
  subject: AuthorizeSubject,
): Promise<void> {
  if (authorize !== undefined && !(await authorize(request, subject))) throw forbidden()
}

/** Throws the answer 403 unless the blob may be seen; the app is asked for one that is attached nowhere, too. */
export async function assertBlobAllowed(
  context: StorageContext,
  request: Request,
  action: AuthorizeSubject['action'],
  row: BlobRow,
): Promise<void> {
  const isAllowed = await isAllowedByRecords(context, request, action, row)
  if (isAllowed === null)
    return assertAllowed(context, request, { action, blob: toStoredBlob(context, row) })
  if (!isAllowed) throw forbidden()
}

/** A blob may be seen by who may see one of the records that it is attached to. null: it is attached to none. */
export async function isAllowedByRecords(
  context: StorageContext,
  request: Request,
  action: AuthorizeSubject['action'],
  row: BlobRow,
): Promise<boolean | null> {
  const { authorize } = context
  if (authorize === undefined) return true
  const attachments = await findAttachmentsOfBlob((await context.store()).session, row.id)
  const blob = toStoredBlob(context, row)
  for (const { type, id, name } of attachments)
    if (await authorize(request, { action, blob, record: { type, id }, name })) return true
  return attachments.length === 0 ? null : false
}
