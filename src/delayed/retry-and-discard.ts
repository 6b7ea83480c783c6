import { lockAttachments, lockAttachmentsOfKeys } from '../attachments/attachment-rows.ts'
import { lockLanes, type Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { findFilesOfUploads, isAttached } from '../staging/file-rows.ts'
import { findOwnUpload, findUpload, wakeLane } from './upload-rows.ts'
import { discardUploads } from './discard.ts'
import { findReplaceable } from './keeps.ts'
import { deleteUploads, insertUpload, returnGemRow } from './upload-transitions.ts'
import { retryFiles } from '../staging/file-transitions.ts'

// What a person does with an upload that failed, or that they no longer want.

/**
 * A new submission of what is left: the row is written again with the same token, a new place and new `replaces`. Does
 * nothing to one that is running, attached or gone.
 */
export async function retryUpload(
  store: Store,
  session: Session | null,
  kindOf: (lane: Lane) => 'one' | 'many',
  token: string,
): Promise<void> {
  const run = async (session: Session): Promise<void> => {
    const found = await findOwnUpload(session, token)
    if (found === null) return
    const lock = await lockLanes(session, [found.lane])
    const upload = await findUpload(session, token, { lock: true })
    if (upload === null || (upload.state !== 'failed' && upload.state !== 'pending')) return
    const files = await findFilesOfUploads(session, [token], { lock: true })
    if (files.length === 0) {
      // A row of the gem's that could not be read: the next sweep reads it again.
      await returnGemRow(session, token)
      return
    }
    // What it attached itself before the rest failed is not what it replaces.
    const own = files.flatMap((file) =>
      isAttached(file) && file.blobKey !== null ? [file.blobKey] : [],
    )
    const kept = await lockAttachmentsOfKeys(session, upload.lane, own)
    const others = findReplaceable(
      await lockAttachments(session, upload.lane),
      upload.keeps,
    ).filter((id) => !kept.includes(id))
    const replaces = kindOf(upload.lane) === 'one' || upload.cleanBefore ? others : null
    await deleteUploads(session, [upload], { by: 'lane', lock })
    await retryFiles(session, token)
    await insertUpload(session, {
      token,
      lane: upload.lane,
      cleanBefore: upload.cleanBefore,
      replaces,
      keeps: upload.keeps,
    })
  }
  if (session !== null) return run(session)
  const found = await findOwnUpload(store.session, token)
  await store.transact(run)
  if (found !== null) await wakeLane(store.session, found.lane)
}

/** Gives an upload up: its bytes are deleted, what it attached already stays. */
export async function discardUpload(
  store: Store,
  session: Session | null,
  token: string,
): Promise<void> {
  const run = async (tx: Session): Promise<void> => {
    const found = await findOwnUpload(tx, token)
    if (found === null) return
    const lock = await lockLanes(tx, [found.lane])
    const upload = await findUpload(tx, token, { lock: true })
    if (upload !== null && upload.state !== 'attached')
      await discardUploads(tx, [upload], lock, 'discarded')
  }
  if (session !== null) return run(session)
  const found = await findOwnUpload(store.session, token)
  await store.transact(run)
  if (found !== null) await wakeLane(store.session, found.lane)
}
