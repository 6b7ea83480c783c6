import { csrfHeaders, sendRequest, type TransferOptions } from './transfer.ts'

/** A file that is staged on the server until its form is submitted. */
export interface StagedUpload {
  /** Value of the form's field, in place of the file. */
  readonly signedId: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
  /** Time (ISO 8601) after which the file is deleted unless it was submitted. */
  readonly expiresAt: string
  /** Path of the file, for an image or a link. */
  readonly path: string
  /** Path to discard the file, by DELETE. */
  readonly discardPath: string
}

/**
 * Sends a file before its form is submitted. `path` is the result of
 * `storage.stagedUploadPath('User.photo')`. Rejects with UploadError.
 *
 * @example
 * import { stageFile } from 'activestorage-delayed/client'
 *
 * const staged = await stageFile(file, path, { onProgress: (sent, total) => console.log(sent / total) })
 */
export async function stageFile(
  file: File,
  path: string,
  options: TransferOptions = {},
): Promise<StagedUpload> {
  const headers = {
    ...csrfHeaders(),
    ...options.headers,
    'Content-Type': file.type || 'application/octet-stream',
    'X-Filename': encodeURIComponent(file.name.toWellFormed()),
  }
  const text = await sendRequest({
    ...options,
    method: 'POST',
    url: path,
    headers,
    body: file,
    filename: file.name,
  })
  return JSON.parse(text) as StagedUpload
}

/** Discards a staged file. When the request fails, the file expires by itself. */
export async function discardStagedUpload({
  discardPath,
  filename,
}: Pick<StagedUpload, 'discardPath' | 'filename'>): Promise<void> {
  await sendRequest({
    method: 'DELETE',
    url: discardPath,
    headers: csrfHeaders(),
    body: null,
    filename,
  }).catch(() => undefined)
}
