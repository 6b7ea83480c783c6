import type { LaneLock } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import { dropLinkedFiles, finishFiles, type DiscardReason } from '../staging/file-transitions.ts'
import type { UploadRow } from './upload-rows.ts'
import { deleteUploads } from './upload-transitions.ts'

/**
 * Ends uploads for good: files that are not attached are dropped, and the sweep deletes their
 * bytes; attached files stay. A running upload finds no row at its next write, and stops.
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
