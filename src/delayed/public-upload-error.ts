import type { ActiveStorageError } from '../errors/errors.ts'
import { formatFile } from '../errors/public-message.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { UploadRow } from './upload-rows.ts'

// What visitors are told of a file that could not be carried to its service: never the text that is kept for the log.

/** Whether the visitor can do something about it: choose another file, for one. */
export const isVisitorError = (error: ActiveStorageError): boolean =>
  error.statusCode < 500 && !error.retryable

/** What to store with the file. `reference` is of the line in the log. */
export function toPublicFileError(
  error: ActiveStorageError,
  filename: string,
  isFinal: boolean,
  reference: string,
): string {
  if (isVisitorError(error)) return error.publicMessage
  const text = notStoredMessage(filename, isFinal)
  return isFinal ? `${text} Reference: ${reference}.` : text
}

/** null: nothing failed. What an older version wrote down has no text for visitors. */
export function readPublicFileError({
  state,
  filename,
  lastError,
  publicError,
}: FileRow): string | null {
  if (lastError === null || state === 'dropped') return null
  return publicError ?? notStoredMessage(filename, state === 'failed')
}

/** Of an upload: that of its file which failed last in their order. */
export function readPublicUploadError(
  { state, lastError }: UploadRow,
  files: readonly FileRow[],
): string | null {
  if (lastError === null) return null
  // A row of the gem's that cannot be read has no files.
  return (
    files.map(readPublicFileError).findLast((text) => text !== null) ??
    notStoredMessage(undefined, state === 'failed')
  )
}

function notStoredMessage(filename: string | undefined, isFailed: boolean): string {
  const file = formatFile(filename === undefined ? {} : { filename })
  return isFailed
    ? `${file} could not be stored. It is kept: those who run this site can try it again.`
    : `${file} could not be stored yet. It is tried again by itself.`
}
