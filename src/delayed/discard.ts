import type { Session } from '../database/session.ts'
import { deleteUploads, type UploadRow } from './upload-rows.ts'

/** Why an upload ended without being attached; kept with its files, for whoever followed it. */
export type DiscardReason = 'superseded' | 'discarded'

/**
 * Ends uploads for good: their unfinished files are dropped (the sweep deletes the bytes), those attached stay. The lane
 * is locked. A running one's next write finds its fence gone.
 */
export async function discardUploads(
  session: Session,
  uploads: readonly UploadRow[],
  ending: DiscardReason,
): Promise<void> {
  if (uploads.length === 0) return
  const tokens = uploads.map((upload) => upload.token)
  await deleteUploads(session, uploads)
  await session.db
    .updateTable('files')
    .set({ state: 'dropped', last_error: ending })
    .where('upload_token', 'in', tokens)
    .where('state', 'in', ['staging', 'staged', 'failed'])
    .execute()
  await session.db
    .updateTable('files')
    .set({ state: 'done' })
    .where('upload_token', 'in', tokens)
    .where('state', '=', 'attached')
    .execute()
}
