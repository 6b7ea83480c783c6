import { findBlobs, type BlobRow } from '../blobs/blob-rows.ts'
import { readPublicFileError, readPublicUploadError } from '../delayed/public-upload-error.ts'
import { findUploadsByToken, type UploadRow } from '../delayed/upload-rows.ts'
import { findFilesOfUploads, isAttached, type FileRow } from '../staging/file-rows.ts'
import type { StorageContext } from './context.ts'
import { blobPath, pendingPath } from './paths.ts'

/** A delayed upload as the progress route shows it to a page. */
export interface UploadSnapshot {
  readonly id: string
  /** 'attached', 'superseded' and 'discarded' are final. A failed upload may be retried. */
  readonly state: 'pending' | 'running' | 'attached' | 'failed' | 'superseded' | 'discarded'
  /** Number of attempts so far. */
  readonly attempts: number
  /** Time of the next attempt (ISO 8601). null: there will be none. */
  readonly runAt: string | null
  /** Error of the last attempt, as text for visitors. */
  readonly lastError: string | null
  readonly files: readonly FileSnapshot[]
}
/** One file of an upload. */
export interface FileSnapshot {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  readonly state: 'staged' | 'uploading' | 'attached' | 'failed' | 'dropped'
  /** Bytes that the service has received. */
  readonly uploadedBytes: number
  /** Error of the last attempt, as text for visitors. */
  readonly lastError: string | null
  /** Path of the app's route to the file. null: the file is gone. */
  readonly path: string | null
}

/** Returns whether the upload's state is final. */
export const isFinishedSnapshot = ({ state }: Pick<UploadSnapshot, 'state'>): boolean =>
  ['attached', 'superseded', 'discarded'].includes(state)

/**
 * Reads any number of uploads in three statements. Rows of files show the state of an upload whose
 * row is deleted.
 */
export async function findSnapshots(
  context: StorageContext,
  tokens: readonly string[],
): Promise<Map<string, UploadSnapshot>> {
  const { session } = await context.store()
  const uploads = await findUploadsByToken(session, tokens)
  const uploadByToken = new Map(uploads.map((row) => [row.token, row]))
  const files = await findFilesOfUploads(session, tokens)
  const filesByToken = Map.groupBy(files, (row) => row.uploadToken ?? '')
  const keys = files.flatMap((file) =>
    isAttached(file) && file.blobKey !== null ? [file.blobKey] : [],
  )
  const blobByKey = new Map((await findBlobs(session, keys)).map((row) => [row.key, row]))
  const snapshots = new Map<string, UploadSnapshot>()
  for (const token of tokens) {
    const upload = uploadByToken.get(token) ?? null
    const ownFiles = filesByToken.get(token) ?? []
    if (upload !== null || ownFiles.length > 0)
      snapshots.set(token, toSnapshot(context, token, upload, ownFiles, blobByKey))
  }
  return snapshots
}

function toSnapshot(
  context: StorageContext,
  id: string,
  upload: UploadRow | null,
  files: readonly FileRow[],
  blobByKey: ReadonlyMap<string, BlobRow>,
): UploadSnapshot {
  const state = upload?.state ?? readFinalState(files)
  const isDue = state === 'pending' || state === 'running'
  return {
    id,
    state,
    attempts: upload?.attempts ?? 0,
    runAt: upload !== null && isDue ? new Date(upload.runAt).toISOString() : null,
    lastError: upload === null ? null : readPublicUploadError(upload, files),
    files: files.map((file) => toFileSnapshot(context, file, state, blobByKey)),
  }
}

function readFinalState(files: readonly FileRow[]): UploadSnapshot['state'] {
  const dropped = files.filter((file) => !isAttached(file))
  if (dropped.length === 0) return 'attached'
  return dropped.some((file) => file.lastError === 'superseded') ? 'superseded' : 'discarded'
}

function toFileSnapshot(
  context: StorageContext,
  file: FileRow,
  uploadState: UploadSnapshot['state'],
  blobByKey: ReadonlyMap<string, BlobRow>,
): FileSnapshot {
  const isStored = isAttached(file)
  const blob = isStored ? blobByKey.get(file.blobKey ?? '') : undefined
  const state = readFileState(file, uploadState)
  return {
    id: file.id,
    filename: blob?.filename ?? file.filename,
    contentType: blob?.contentType ?? file.contentType,
    byteSize: blob?.byteSize ?? file.byteSize,
    state,
    uploadedBytes: isStored ? (file.sentSize ?? file.byteSize) : file.uploadedBytes,
    lastError: readPublicFileError(file),
    path: readFilePath(context, file, blob),
  }
}

function readFileState(file: FileRow, uploadState: UploadSnapshot['state']): FileSnapshot['state'] {
  if (isAttached(file)) return 'attached'
  if (file.state === 'failed' || file.state === 'dropped') return file.state
  return uploadState === 'running' ? 'uploading' : 'staged'
}

function readFilePath(
  context: StorageContext,
  file: FileRow,
  blob: BlobRow | undefined,
): string | null {
  if (blob !== undefined) return blobPath(context, blob)
  return isAttached(file) || file.state === 'dropped' ? null : pendingPath(context, file)
}
