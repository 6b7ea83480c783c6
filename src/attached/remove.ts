import { lockAttachments } from '../attachments/attachment-rows.ts'
import { lockLanes } from '../attachments/lane.ts'
import { removeAttachments, type Removal } from '../attachments/purge.ts'
import { lockLaneUploads } from '../delayed/upload-rows.ts'
import { runChange, type AttachmentScope } from './scope.ts'
import { supersedeUploads } from './supersede.ts'

/** Options of `purge`. */
export interface PurgeOptions {
  /** Ends the wait for the service; a worker deletes the objects that are left. */
  readonly signal?: AbortSignal
}

/** Removes all files of an attachment and ends its pending uploads. */
export async function removeAll(
  scope: AttachmentScope,
  how: Removal,
  { signal }: PurgeOptions = {},
): Promise<void> {
  signal?.throwIfAborted()
  const { lane, context } = scope
  const jobKeys = await runChange(scope, async (change) => {
    const { session } = change
    const lock = await lockLanes(session, [lane])
    await supersedeUploads(change, context, lane, {
      lock,
      uploads: await lockLaneUploads(session, lane),
    })
    return removeAttachments(session, await lockAttachments(session, lane), how, {
      inUserTransaction: scope.session !== null,
    })
  })
  await context.deleteObjectsNow(jobKeys, signal)
}
