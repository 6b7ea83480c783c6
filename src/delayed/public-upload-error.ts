import type { ActiveStorageError } from '../errors/errors.ts'
import { isAppMistake } from '../errors/public-error.ts'
import { formatFile } from '../errors/public-message.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { UploadRow } from './upload-rows.ts'

/** Returns true when the visitor can mend the error, for example with another file. */
export const isVisitorError = (error: ActiveStorageError): boolean =>
  error.statusCode < 500 && !error.retryable && !isAppMistake(error)

/**
 * Returns the text for visitors that is stored with a file; never the log's text. `reference` names
 * the line in the log.
 */
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

/** Reads the text for visitors of a file. null: the file has not failed. */
export function readPublicFileError({
  state,
  filename,
  lastError,
  publicError,
}: FileRow): string | null {
  if (lastError === null || state === 'dropped') return null
  // The sweep writes no such text when it fails the files of a dead worker.
  return publicError ?? notStoredMessage(filename, state === 'failed')
}

/**
 * Reads the text for visitors of an upload: that of its last failed file, in the order of files.
 */
export function readPublicUploadError(
  { state, lastError }: UploadRow,
  files: readonly FileRow[],
): string | null {
  if (lastError === null) return null
  // A row of the gem that cannot be read has no files.
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
