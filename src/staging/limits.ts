import { FileTooLargeError, FileTypeNotAcceptedError, TooManyFilesError, type ErrorDetails } from '../errors.ts'

/** What a file must keep to while it streams in. Sizes in bytes. */
export interface Limits {
  readonly maxSize?: number | undefined
  readonly accept?: readonly string[] | undefined
}

export function checkSize(size: number, limits: Limits, details: ErrorDetails): void {
  const { maxSize } = limits
  if (maxSize !== undefined && size > maxSize)
    throw new FileTooLargeError(
      `${details.filename ?? 'The file'} is larger than the ${maxSize} bytes allowed for ${details.attachment ?? 'a file'}.`,
      maxSize,
      { details },
    )
}

export function checkType(contentType: string, limits: Limits, details: ErrorDetails): void {
  const { accept } = limits
  if (accept === undefined || accept.some((pattern) => matches(contentType, pattern))) return
  throw new FileTypeNotAcceptedError(
    `${details.filename ?? 'The file'} is ${contentType}; ${details.attachment ?? 'this attachment'} accepts ${accept.join(', ')}.`,
    { details },
  )
}

export function checkCount(count: number, maxFiles: number | undefined, details: ErrorDetails): void {
  if (maxFiles !== undefined && count > maxFiles)
    throw new TooManyFilesError(`${count} files for ${details.attachment ?? 'one attachment'}, which takes ${maxFiles} at most.`, {
      details,
    })
}

function matches(contentType: string, pattern: string): boolean {
  if (pattern === '*/*') return true
  return pattern.endsWith('/*') ? contentType.startsWith(pattern.slice(0, -1)) : contentType === pattern.toLowerCase()
}
