// Reads of single files for the routes of `http`, which must not import the modules of rows.
import { findAttachmentsOfBlob } from '../attachments/attachment-rows.ts'
import type { Lane } from '../attachments/lane.ts'
import { findOriginalOfImage } from '../attachments/rails-images.ts'
import { findBlob, findBlobs, type BlobRow } from '../blobs/blob-rows.ts'
import { findUpload } from '../delayed/upload-rows.ts'
import { findFiles, findFilesOfUploads, isAttached, type FileRow } from '../staging/file-rows.ts'
import type { StorageContext } from './context.ts'
import { blobPath, pendingPath } from './paths.ts'
import { readStagedId, readTokenId } from './signed-tokens.ts'
import { dropUnlinkedFile } from '../staging/file-transitions.ts'

/**
 * Finds the blob that a signed id names. null: the signed id is invalid or has expired, or the blob
 * is gone.
 */
export async function findSignedBlob(
  context: StorageContext,
  signedId: string,
): Promise<BlobRow | null> {
  const id = readTokenId(context, 'blob', signedId)
  return id === null ? null : findBlob((await context.store()).session, { id })
}

/** Finds a blob by its key. */
export async function findBlobByKey(context: StorageContext, key: string): Promise<BlobRow | null> {
  return findBlob((await context.store()).session, { key })
}

/**
 * Lists the records that a blob is attached to, with the name of the attachment. A variant and a
 * preview are attached to rows of Rails' own: they count as attached to the records of the blob
 * that they show.
 */
export async function listLanesOfBlob(
  context: StorageContext,
  blob: Pick<BlobRow, 'id'>,
): Promise<readonly Lane[]> {
  const { session } = await context.store()
  const lanes: Lane[] = []
  // A set: corrupt rows could name each other as originals.
  const blobIds = new Set([blob.id])
  for (const blobId of blobIds)
    for (const lane of await findAttachmentsOfBlob(session, blobId)) {
      const original = await findOriginalOfImage(session, lane)
      if (original === null) lanes.push(lane)
      else blobIds.add(original)
    }
  return lanes
}

/**
 * Finds the record that an upload is for, also when the upload is finished. null: no row names it
 * any more.
 */
export async function findLaneOfUpload(
  context: StorageContext,
  token: string,
): Promise<Lane | null> {
  const { session } = await context.store()
  const upload = await findUpload(session, token)
  if (upload !== null) return upload.lane
  const files = await findFilesOfUploads(session, [token])
  const keys = files.flatMap(({ blobKey }) => blobKey ?? [])
  for (const blob of await findBlobs(session, keys)) {
    const [attachment] = await findAttachmentsOfBlob(session, blob.id)
    if (attachment !== undefined) return attachment
  }
  return null
}

/**
 * State of a file that was staged. 'attached': the blob has its bytes. 'pending': its bytes are in
 * the database; `lane` is null before its form is submitted. 'changed': a worker changed the rows
 * between two statements, so look again.
 */
export type PendingFile =
  | { readonly kind: 'attached'; readonly blob: BlobRow }
  | { readonly kind: 'pending'; readonly file: FileRow; readonly lane: Lane | null }
  | { readonly kind: 'changed' }

/** Finds a staged file by its id. null: it is gone, or has expired. */
export async function findPendingFile(
  context: StorageContext,
  id: string,
): Promise<PendingFile | null> {
  const { session } = await context.store()
  const [file] = await findFiles(session, [id])
  if (file === undefined || file.state === 'staging' || file.state === 'dropped') return null
  if (isAttached(file)) {
    const blob = file.blobKey === null ? null : await findBlob(session, { key: file.blobKey })
    return blob === null ? null : { kind: 'attached', blob }
  }
  // An expired file that was not submitted counts as gone: the sweep is about to delete it.
  if (file.uploadToken === null) return file.expired ? null : { kind: 'pending', file, lane: null }
  const upload = await findUpload(session, file.uploadToken)
  return upload === null ? { kind: 'changed' } : { kind: 'pending', file, lane: upload.lane }
}

/** Finds the file that a signed id of a form names, staged or stored. null: it is gone. */
export async function findSignedFile(
  context: StorageContext,
  signedId: string,
): Promise<{ readonly filename: string; readonly path: string } | null> {
  const stagedId = readStagedId(context, signedId)
  const [file] =
    stagedId === null ? [] : await findFiles((await context.store()).session, [stagedId])
  if (file !== undefined) return { filename: file.filename, path: pendingPath(context, file) }
  const blob = await findSignedBlob(context, signedId)
  return blob === null ? null : { filename: blob.filename, path: blobPath(context, blob) }
}

/**
 * Discards the staged file that a signed id names. A file that was submitted stays, and so does a
 * stored blob. Returns false if the signed id is not that of a staged file.
 */
export async function discardSignedFile(
  context: StorageContext,
  signedId: string,
): Promise<boolean> {
  const id = readStagedId(context, signedId)
  if (id === null) return false
  await dropUnlinkedFile((await context.store()).session, id)
  return true
}
