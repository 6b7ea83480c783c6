import type { LaneLock } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import { dropLinkedFiles, finishFiles } from '../staging/file-transitions.ts'
import type { UploadRow } from './upload-rows.ts'
import { deleteUploads } from './upload-transitions.ts'

/** Why an upload ended without being attached; kept with its files for readers of their state. */
export type DiscardReason = 'superseded' | 'discarded'

/**
 * Ends uploads for good: files that are not attached are dropped (the sweep deletes their bytes), attached ones stay. The
 * next write of one that runs finds no row and stops.
 */
export async function discardUploads(
  session: Session,
  uploads: readonly UploadRow[],
  lock: LaneLock,
  reason: DiscardReason,
): Promise<void> {
  if (uploads.length === 0) return
  const uploadTokens = uploads.map((upload) => upload.token)
  await deleteUploads(session, uploads, { by: 'lane', lock })
  await dropLinkedFiles(session, { uploadTokens }, reason)
  await finishFiles(session, { uploadTokens })
}
