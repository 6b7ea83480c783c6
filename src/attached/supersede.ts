import type { Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import { discardUploads } from '../delayed/discard.ts'
import { findRecordUploads } from '../delayed/upload-rows.ts'
import { deleteGemRows } from '../gem/gem-rows.ts'
import type { StorageContext } from './context.ts'

/**
 * A direct change of a slot ends all that is on its way to it, also what the Ruby gem wrote and nobody moved yet. What is
 * attached, and has only its hooks left, is told of as ever. The lane is locked.
 */
export async function supersedeUploads(
  session: Session,
  context: Pick<StorageContext, 'logSuperseded'>,
  lane: Lane,
): Promise<void> {
  const uploads = await findRecordUploads(session, lane.type, [lane.id], lane.name, true)
  const unfinished = uploads.filter((upload) => upload.state !== 'attached')
  await discardUploads(session, unfinished, 'superseded')
  await deleteGemRows(session, lane)
  context.logSuperseded(unfinished)
}
