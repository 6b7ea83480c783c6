import { csrfHeaders, sendRequest, type TransferOptions } from './transfer.ts'

/** A file that waits on the server to be submitted. */
export interface StagedUpload {
  /** Goes into the form in the file's place. */
  readonly signedId: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
  readonly expiresAt: string
  /** Where it is seen: the source of an image, or a link. */
  readonly path: string
  /** Where it is given up, by DELETE. */
  readonly discardPath: string
}

/**
 * Sends a file before its form is submitted, to what `storage.stagedUploadPath('User.photo')` gave the page. Rejects with
 * UploadError.
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
  const answer = await sendRequest({
    ...options,
    method: 'POST',
    url: path,
    headers,
    body: file,
    filename: file.name,
  })
  return JSON.parse(answer) as StagedUpload
}

/** Gives a staged file up; what is not reached expires by itself. */
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
