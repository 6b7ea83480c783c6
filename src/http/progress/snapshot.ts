import type { StorageContext } from '../../attached/context.ts'
import { pendingPath, blobPath } from '../../attached/paths.ts'
import { findBlobs, type BlobRow } from '../../blobs/blob-rows.ts'
import { readPublicFileError, readPublicUploadError } from '../../delayed/public-upload-error.ts'
import { findUploadsByToken, type UploadRow } from '../../delayed/upload-rows.ts'
import { findFilesOfUploads, isAttached, type FileRow } from '../../staging/file-rows.ts'

/** A delayed upload as a page sees it. */
export interface UploadSnapshot {
  readonly id: string
  /** 'attached', 'superseded' and 'discarded' are the end; what has failed may be tried again. */
  readonly state: 'pending' | 'running' | 'attached' | 'failed' | 'superseded' | 'discarded'
  readonly attempts: number
  /** When it is tried next; null: it is over. */
  readonly runAt: string | null
  /** Why its last attempt failed, as visitors may read it. */
  readonly lastError: string | null
  readonly files: readonly FileSnapshot[]
}
/** One of its files. */
export interface FileSnapshot {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  readonly byteSize: number
  readonly state: 'staged' | 'uploading' | 'attached' | 'failed' | 'dropped'
  readonly uploadedBytes: number
  /** Why its last attempt failed, as visitors may read it. */
  readonly lastError: string | null
  /** Where it is seen; null: it is gone. */
  readonly path: string | null
}

export const isFinishedSnapshot = ({ state }: Pick<UploadSnapshot, 'state'>): boolean =>
  ['attached', 'superseded', 'discarded'].includes(state)

/** Any number of uploads in three statements. Of one that is done its files tell, as long as they are kept. */
export async function findSnapshots(
  context: StorageContext,
  tokens: readonly string[],
): Promise<Map<string, UploadSnapshot>> {
  const { session } = await context.store()
  const uploads = new Map(
    (await findUploadsByToken(session, tokens)).map((row) => [row.token, row]),
  )
  const files = Map.groupBy(
    await findFilesOfUploads(session, tokens),
    (row) => row.uploadToken ?? '',
  )
  const keys = [...files.values()]
    .flat()
    .flatMap((file) => (isAttached(file) && file.blobKey !== null ? [file.blobKey] : []))
  const blobs = new Map((await findBlobs(session, keys)).map((row) => [row.key, row]))
  return new Map(
    tokens.flatMap((token) => {
      const found = toSnapshot(
        context,
        token,
        uploads.get(token) ?? null,
        files.get(token) ?? [],
        blobs,
      )
      return found === null ? [] : [[token, found] as const]
    }),
  )
}

function toSnapshot(
  context: StorageContext,
  id: string,
  upload: UploadRow | null,
  files: readonly FileRow[],
  blobs: ReadonlyMap<string, BlobRow>,
): UploadSnapshot | null {
  if (upload === null && files.length === 0) return null
  const state = upload?.state ?? finalState(files)
  const isDue = state === 'pending' || state === 'running'
  return {
    id,
    state,
    attempts: upload?.attempts ?? 0,
    runAt: upload !== null && isDue ? new Date(upload.runAt).toISOString() : null,
    lastError: upload === null ? null : readPublicUploadError(upload, files),
    files: files.map((file) => toFileSnapshot(context, file, state, blobs)),
  }
}

function finalState(files: readonly FileRow[]): UploadSnapshot['state'] {
  const dropped = files.filter((file) => !isAttached(file))
  if (dropped.length === 0) return 'attached'
  return dropped.some((file) => file.lastError === 'superseded') ? 'superseded' : 'discarded'
}

function toFileSnapshot(
  context: StorageContext,
  file: FileRow,
  upload: UploadSnapshot['state'],
  blobs: ReadonlyMap<string, BlobRow>,
): FileSnapshot {
  const isStored = isAttached(file)
  const blob = isStored ? blobs.get(file.blobKey ?? '') : undefined
  const state = isStored
    ? 'attached'
    : file.state === 'failed'
      ? 'failed'
      : file.state === 'dropped'
        ? 'dropped'
        : null
  return {
    id: file.id,
    filename: blob?.filename ?? file.filename,
    contentType: blob?.contentType ?? file.contentType,
    byteSize: blob?.byteSize ?? file.byteSize,
    state: state ?? (upload === 'running' ? 'uploading' : 'staged'),
    uploadedBytes: isStored ? (file.sentSize ?? file.byteSize) : file.uploadedBytes,
    lastError: readPublicFileError(file),
    path:
      blob === undefined
        ? isStored || state === 'dropped'
          ? null
          : pendingPath(context, file)
        : blobPath(context, blob),
  }
}
