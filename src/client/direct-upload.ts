import { createMd5 } from './md5.ts'
import { csrfHeaders, sendRequest, UploadError, type TransferOptions } from './transfer.ts'

/** A blob whose bytes the browser sent to the storage service itself. */
export interface UploadedBlob {
  /** Value of the form's field, in place of the file. */
  readonly signedId: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
}

/** Bytes that are hashed at once. The page stays responsive while a large file is read. */
const HASH_SLICE_BYTES = 2 * 1024 * 1024

/** Response of the app to the announcement of a file. */
interface DirectUploadResponse {
  readonly signed_id: string
  readonly filename: string
  readonly content_type: string
  readonly byte_size: number
  readonly checksum: string
  readonly direct_upload: {
    readonly url: string
    readonly headers: Readonly<Record<string, string>>
  }
}

/**
 * Sends a file directly to the storage service, in Rails' protocol. Use it for files that are too
 * large for the app's database. `path` is the result of `storage.directUploadPath('User.photo')`.
 * Rejects with UploadError.
 */
export async function directUpload(
  file: File,
  path: string,
  options: TransferOptions = {},
): Promise<UploadedBlob> {
  const { signal, onProgress } = options
  const checksum = await computeChecksum(file, signal)
  const blob = {
    filename: file.name.toWellFormed(),
    content_type: file.type || 'application/octet-stream',
    byte_size: file.size,
    checksum,
  }
  const common = { filename: file.name, ...(signal === undefined ? {} : { signal }) }
  const announced = await sendRequest({
    ...common,
    method: 'POST',
    url: path,
    headers: {
      ...csrfHeaders(),
      ...options.headers,
      'Content-Type': 'application/json',
      Accept: 'application/json',
      'X-Requested-With': 'XMLHttpRequest',
    },
    body: JSON.stringify({ blob }),
  })
  const { direct_upload: target, ...announcedBlob } = JSON.parse(announced) as DirectUploadResponse
  // The request has the signed headers only, and none of the app, because the service may have
  // another origin.
  await sendRequest({
    ...common,
    method: 'PUT',
    url: target.url,
    headers: target.headers,
    body: file,
    ...(onProgress === undefined ? {} : { onProgress }),
  })
  const {
    signed_id: signedId,
    filename,
    content_type: contentType,
    byte_size: byteSize,
  } = announcedBlob
  return { signedId, filename, contentType, byteSize, checksum: announcedBlob.checksum }
}

async function computeChecksum(file: File, signal: AbortSignal | undefined): Promise<string> {
  const hash = createMd5()
  for (let at = 0; at < file.size; at += HASH_SLICE_BYTES) {
    if (signal?.aborted === true)
      throw new UploadError(`${file.name}: the upload was canceled.`, 'ABORTED', 0)
    const slice = await file
      .slice(at, at + HASH_SLICE_BYTES)
      .arrayBuffer()
      .catch(() => {
        throw new UploadError(
          `${file.name}: the file cannot be read; it may have been moved or changed.`,
          'UNREADABLE',
          0,
        )
      })
    hash.update(new Uint8Array(slice))
  }
  return hash.digest()
}
