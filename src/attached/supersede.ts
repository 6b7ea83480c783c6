import type { Lane, LaneLock } from '../attachments/lane.ts'
import { discardUploads } from '../delayed/discard.ts'
import type { UploadRow } from '../delayed/upload-rows.ts'
import { deleteGemRows } from '../gem/gem-rows.ts'
import type { StorageContext } from './context.ts'
import type { OpenChange } from './scope.ts'

/** Uploads of a lane, and the lock of the lane. */
export interface LockedUploads {
  readonly lock: LaneLock
  readonly uploads: readonly UploadRow[]
}

/**
 * Ends the pending uploads of an attachment after a direct change, also the gem's rows that are not
 * moved yet, and reports them after the commit. An upload that is attached keeps its row, because
 * its hooks still have to run. The lane and `uploads` are locked.
 */
export async function supersedeUploads(
  { session, afterCommit }: OpenChange,
  context: Pick<StorageContext, 'logSuperseded'>,
  lane: Lane,
  { lock, uploads }: LockedUploads,
): Promise<void> {
  const unfinished = uploads.filter((upload) => upload.state !== 'attached')
  await discardUploads(session, unfinished, lock, 'superseded')
  await deleteGemRows(session, lane)
  if (unfinished.length > 0) afterCommit(() => context.logSuperseded(unfinished))
}
