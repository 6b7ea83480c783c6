import { toCanonicalType } from '../blobs/type-names.ts'
import {
  FileTooLargeError,
  FileTypeNotAcceptedError,
  TooManyFilesError,
  type ErrorDetails,
} from '../errors/errors.ts'
import { formatList } from '../errors/message.ts'
import { formatFile, formatSize, formatTypes } from '../errors/public-message.ts'

/** What a file must keep to while it streams in. Sizes in bytes. */
export interface FileLimits {
  readonly maxSize?: number | undefined
  readonly accept?: readonly string[] | undefined
}

export function checkFileSize(size: number, limits: FileLimits, details: ErrorDetails): void {
  const { maxSize } = limits
  if (maxSize !== undefined && size > maxSize)
    throw new FileTooLargeError(
      `${details.filename ?? 'The file'} is larger than the ${formatSize(maxSize)} (${maxSize} bytes) allowed for ${formatAttachment(details, 'a file')}.`,
      maxSize,
      { details },
    )
}

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

export function isAcceptedType(contentType: string, accept: readonly string[]): boolean {
  return accept.some((pattern) => matchesType(contentType, pattern))
}

/** `count` files come to `present` ones, which are attached or on their way. Throws TooManyFilesError. */
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

/** "photo of User 7", as far as it is known. */
function formatAttachment({ attachment, record }: ErrorDetails, unknown: string): string {
  return `${attachment ?? unknown}${record === undefined ? '' : ` of ${record.type} ${record.id}`}`
}

/** Names of one type are alike, and so are cases. */
function matchesType(contentType: string, pattern: string): boolean {
  const type = toCanonicalType(contentType)
  const wanted = pattern.toLowerCase()
  if (wanted === '*/*') return true
  if (!wanted.endsWith('/*')) return type === toCanonicalType(wanted)
  return [type, contentType.toLowerCase()].some((name) => name.startsWith(wanted.slice(0, -1)))
}
