import type { AuthorizeSubject, StorageContext } from '../attached/context.ts'
import { listLanesOfBlob } from '../attached/lookups.ts'
import { toStoredBlob } from '../attached/stored-values.ts'
import type { Lane } from '../attachments/lane.ts'
import type { BlobRow } from '../blobs/blob-rows.ts'
import { forbidden } from './responses.ts'

/** Throws the response 403 unless the app's `authorize` allows the request. */
export async function assertAllowed(
  { authorize }: StorageContext,
  request: Request,
  subject: AuthorizeSubject,
): Promise<void> {
  if (authorize !== undefined && !(await authorize(request, subject))) throw forbidden()
}

/**
 * Throws the response 403 unless the app allows files of an attachment to be read. `lane` null: the
 * file was never submitted, so that it has no record.
 */
export function assertLaneReadable(
  context: StorageContext,
  request: Request,
  lane: Lane | null,
): Promise<void> {
  if (lane === null) return assertAllowed(context, request, { action: 'read' })
  const { type, id, name } = lane
  return assertAllowed(context, request, {
    action: 'read',
    record: { type, id },
    model: type,
    name,
  })
}

/**
 * Throws the response 403 unless the app allows the blob. The app is also asked for a blob without
 * a record.
 */
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

/**
 * Asks the app for each record that the blob is attached to; one that it allows is enough. null:
 * the blob is attached to none.
 */
export async function isAllowedByRecords(
  context: StorageContext,
  request: Request,
  action: AuthorizeSubject['action'],
  row: BlobRow,
): Promise<boolean | null> {
  const { authorize } = context
  if (authorize === undefined) return true
  const lanes = await listLanesOfBlob(context, row)
  const blob = toStoredBlob(context, row)
  for (const { type, id, name } of lanes)
    if (await authorize(request, { action, blob, record: { type, id }, model: type, name }))
      return true
  return lanes.length === 0 ? null : false
}
