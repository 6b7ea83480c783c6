import type { LaneAttachment } from '../attachments/attachment-rows.ts'
import type { Session } from '../database/session.ts'
import { filesOf } from '../staging/file-rows.ts'
import { discardUploads } from './discard.ts'
import type { Keeps } from './keeps.ts'
import type { UploadRow } from './upload-rows.ts'

async function update(session: Session, upload: UploadRow, set: Partial<Pick<UploadRow, 'keeps' | 'replaces'>>): Promise<void> {
  const columns = Object.fromEntries(Object.entries(set).map(([name, value]) => [name, JSON.stringify(value)]))
  await session.db.updateTable('uploads').set(columns).where('id', '=', BigInt(upload.rowId)).execute()
}

/** The last submission counts: what it names, older uploads of the lane do not take away either. The lane is locked. */
export async function spareFromOlder(
  session: Session,
  older: readonly UploadRow[],
  attached: readonly LaneAttachment[],
  keeps: Keeps,
): Promise<void> {
  const named = new Set(attached.filter(({ blobId }) => keeps.blobs.includes(blobId)).map(({ attachmentId }) => attachmentId))
  for (const upload of older) {
    if (upload.replaces === null) continue
    const replaces = upload.replaces.filter((id) => !named.has(id))
    const files = keeps.files.filter((id) => !upload.keeps.files.includes(id))
    if (replaces.length === upload.replaces.length && files.length === 0) continue
    await update(session, upload, { replaces, keeps: { ...upload.keeps, files: [...upload.keeps.files, ...files] } })
  }
}

/** An upload attached a file: the younger ones that replace what there was replace it too, unless they named it. */
export async function addToYounger(
  session: Session,
  younger: readonly UploadRow[],
  fileId: string,
  attached: LaneAttachment,
): Promise<void> {
  for (const upload of younger) {
    const { replaces, keeps } = upload
    if (replaces === null) continue
    // The file's row goes in a day; a retry may come later.
    if (keeps.files.includes(fileId)) await update(session, upload, { keeps: { ...keeps, blobs: [...keeps.blobs, attached.blobId] } })
    else await update(session, upload, { replaces: [...replaces, attached.attachmentId] })
  }
}

/** Older uploads that a younger one ended, and those that go on with the files that it named. */
export interface Superseded {
  readonly ended: readonly UploadRow[]
  readonly thinned: readonly UploadRow[]
}

/** Ends older uploads, but for the files that the younger one named. The lane is locked. */
export async function supersedeOlder(session: Session, older: readonly UploadRow[], { files: kept }: Keeps): Promise<Superseded> {
  const tokens = older.map(({ token }) => token)
  const files = kept.length === 0 ? [] : await filesOf(session, tokens, true)
  const waiting = files.filter(({ state }) => state === 'staged' || state === 'failed')
  const living = new Set(waiting.flatMap((file) => (kept.includes(file.id) ? [file.uploadToken] : [])))
  const dropped = waiting.filter((file) => living.has(file.uploadToken) && !kept.includes(file.id))
  const ended = older.filter(({ token }) => !living.has(token))
  await discardUploads(session, ended, 'superseded')
  const ids = dropped.map(({ id }) => id)
  if (ids.length > 0)
    await session.db.updateTable('files').set({ state: 'dropped', last_error: 'superseded' }).where('id', 'in', ids).execute()
  return { ended, thinned: older.filter(({ token }) => dropped.some(({ uploadToken }) => uploadToken === token)) }
}
