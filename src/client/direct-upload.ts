import { createMd5 } from './md5.ts'
import { csrfHeaders, sendRequest, UploadError, type TransferOptions } from './transfer.ts'

/** A blob that the browser uploaded by itself. */
export interface UploadedBlob {
  /** Goes into the form in the file's place. */
  readonly signedId: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
}

/** Hashed at once, so that a page stays awake while a large file is read. */
const HASH_SLICE_BYTES = 2 * 1024 * 1024

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
 * Sends a file to the storage service itself, past the app, in Rails' protocol: for files that are too large for the app's
 * database. `path` is what `storage.directUploadPath('User.photo')` gave the page. Rejects with UploadError.
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
  const { direct_upload: target, ...told } = JSON.parse(announced) as DirectUploadResponse
  // Exactly what was signed, and nothing of the app's own: it may be another origin.
  await sendRequest({
    ...common,
    method: 'PUT',
    url: target.url,
    headers: target.headers,
    body: file,
    ...(onProgress === undefined ? {} : { onProgress }),
  })
  const { signed_id: signedId, filename, content_type: contentType, byte_size: byteSize } = told
  return { signedId, filename, contentType, byteSize, checksum: told.checksum }
}

async function computeChecksum(file: File, signal: AbortSignal | undefined): Promise<string> {
  const hash = createMd5()
  for (let at = 0; at < file.size; at += HASH_SLICE_BYTES) {
    if (signal?.aborted === true)
      throw new UploadError(`${file.name}: it was given up.`, 'ABORTED', 0)
    const slice = await file
      .slice(at, at + HASH_SLICE_BYTES)
      .arrayBuffer()
      .catch(() => {
        throw new UploadError(
          `${file.name}: it cannot be read; it may have been moved or changed.`,
          'UNREADABLE',
          0,
        )
      })
    hash.update(new Uint8Array(slice))
  }
  return hash.digest()
}
