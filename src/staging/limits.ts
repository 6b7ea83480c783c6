import { toCanonicalType } from '../blobs/type-names.ts'
import {
  FileTooLargeError,
  FileTypeNotAcceptedError,
  TooManyFilesError,
  type ErrorDetails,
} from '../errors/errors.ts'
import { formatList } from '../errors/message.ts'
import { formatFile, formatSize, formatTypes } from '../errors/public-message.ts'

/** Limits of a file, checked while it streams in. */
export interface FileLimits {
  /** In bytes. */
  readonly maxSize?: number | undefined
  /** Content types such as 'image/*'. */
  readonly accept?: readonly string[] | undefined
}

/** Throws FileTooLargeError for more bytes than `maxSize`. */
export function checkFileSize(size: number, limits: FileLimits, details: ErrorDetails): void {
  const { maxSize } = limits
  if (maxSize !== undefined && size > maxSize)
    throw new FileTooLargeError(
      `${details.filename ?? 'The file'} is larger than the ${formatSize(maxSize)} (${maxSize} bytes) allowed for ${formatAttachment(details, 'a file')}.`,
      maxSize,
      { details },
    )
}

/** Throws FileTypeNotAcceptedError for a content type that is not among `accept`. */
export function checkFileType(
  contentType: string,
  limits: FileLimits,
  details: ErrorDetails,
): void {
  const { accept } = limits
  if (accept === undefined || isAcceptedType(contentType, accept)) return
  throw new FileTypeNotAcceptedError(
    `${details.filename ?? 'The file'} is ${contentType}; ${formatAttachment(details, 'this attachment')} accepts ${formatList(accept)}.`,
    {
      details,
      publicMessage: `${formatFile(details)} is of a type that is not accepted here. Accepted: ${formatTypes(accept)}.`,
    },
  )
}

/** Returns whether a pattern of `accept` matches the content type. */
export function isAcceptedType(contentType: string, accept: readonly string[]): boolean {
  return accept.some((pattern) => matchesType(contentType, pattern))
}

/**
 * Throws TooManyFilesError if `count` new files and `present` attached or pending ones are more
 * than `maxFiles`.
 */
export function checkFileCount(
  count: number,
  maxFiles: number | undefined,
  details: ErrorDetails,
  present = 0,
): void {
  if (maxFiles === undefined || count + present <= maxFiles) return
  const many = (files: number): string => (files === 1 ? 'is 1 file' : `are ${files} files`)
  const are =
    present === 0
      ? `These ${many(count)}`
      : `With the ${present} already here these ${many(count + present)}`
  throw new TooManyFilesError(
    `${count + present} files for ${formatAttachment(details, 'one attachment')}, which takes ${maxFiles} at most.`,
    {
      details,
      publicMessage: `${are}; ${maxFiles} at most ${maxFiles === 1 ? 'is' : 'are'} accepted. Choose fewer.`,
    },
  )
}

/** Writes "photo of User 7", as far as it is known. */
function formatAttachment({ attachment, record }: ErrorDetails, unknown: string): string {
  return `${attachment ?? unknown}${record === undefined ? '' : ` of ${record.type} ${record.id}`}`
}

/**
 * Returns whether a type matches a pattern. All names of one type match, in upper or lower case.
 */
function matchesType(contentType: string, pattern: string): boolean {
  const type = toCanonicalType(contentType)
  const wanted = pattern.toLowerCase()
  if (wanted === '*/*') return true
  if (!wanted.endsWith('/*')) return type === toCanonicalType(wanted)
  return [type, contentType.toLowerCase()].some((name) => name.startsWith(wanted.slice(0, -1)))
}
