import { isBlobLike } from '../blobs/blob-like.ts'
import { InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'
import { isTooLargeId, readRowId } from './row-id.ts'

/** The input of a has-one or a has-many in one shape. */
export interface Changes {
  readonly files: readonly unknown[]
  readonly deletedIds: readonly string[]
  readonly cleanBefore: boolean
}

const KEY_NAMES = new Map([
  ['files', 'files'],
  ['deletedIds', 'deletedIds'],
  ['deleted_ids', 'deletedIds'],
  ['cleanBefore', 'cleanBefore'],
  ['clean_before', 'cleanBefore'],
])

/**
 * Reads a single file, a list, or `{ files, deletedIds, cleanBefore }` in camelCase or a form's
 * snake_case. A has-one ignores `deletedIds` and `cleanBefore`, as the gem does. Throws
 * InvalidInputError.
 */
export function readChanges(input: unknown, kind: 'one' | 'many', details: ErrorDetails): Changes {
  const { files, deletedIds, cleanBefore } = isChanges(input)
    ? readKeys(input, details)
    : { files: input, deletedIds: [], cleanBefore: false }
  const list = Array.isArray(files) ? files : isIndexed(files) ? Object.values(files) : [files]
  if (isIndexed(files) || (isChanges(input) && Object.keys(input).some((key) => key.includes('_'))))
    rejectFilePaths(list, details)
  return kind === 'one'
    ? { files: list, deletedIds: [], cleanBefore: false }
    : { files: list, deletedIds, cleanBefore }
}

/**
 * Throws if form parameters name a file of the server: its bytes would go to the client that sent
 * them.
 */
function rejectFilePaths(files: readonly unknown[], details: ErrorDetails): void {
  for (const file of files)
    if (typeof file === 'object' && file !== null && ('path' in file || 'filepath' in file))
      throw new InvalidInputError(
        'Form parameters cannot name a file of the server: { path } is only for files that the app chose.',
        { details },
      )
}

function isChanges(input: unknown): input is Record<string, unknown> {
  if (
    typeof input !== 'object' ||
    input === null ||
    Array.isArray(input) ||
    isBlobLike(input) ||
    ArrayBuffer.isView(input)
  )
    return false
  const keys = Object.keys(input)
  return keys.some((key) => KEY_NAMES.has(key)) && !('io' in input) && !('signedId' in input)
}

/** Returns whether an object is a form's `files[0]`, `files[1]`. */
function isIndexed(files: unknown): files is Record<string, unknown> {
  return (
    typeof files === 'object' &&
    files !== null &&
    !Array.isArray(files) &&
    !isBlobLike(files) &&
    !ArrayBuffer.isView(files) &&
    Object.keys(files).length > 0 &&
    Object.keys(files).every((key) => /^\d+$/.test(key))
  )
}

function readKeys(input: Record<string, unknown>, details: ErrorDetails) {
  const read: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(input)) {
    const name = KEY_NAMES.get(key)
    if (name === undefined)
      throw new InvalidInputError(
        `Unknown key ${formatValue(key)}: give files, deletedIds and cleanBefore.`,
        { details },
      )
    read[name] = value
  }
  return {
    files: read['files'],
    deletedIds: readIds(read['deletedIds'], details),
    cleanBefore: readBoolean(read['cleanBefore'], details),
  }
}

/**
 * Skips empty form fields. Throws for other text that is no id, because nothing is cast or trimmed.
 */
function readIds(input: unknown, details: ErrorDetails): string[] {
  if (input === undefined || input === null || input === '') return []
  const list: readonly unknown[] = Array.isArray(input)
    ? input
    : typeof input === 'string'
      ? input.split(',')
      : [input]
  return list.flatMap((id) => {
    if (id === '' || id === null || id === undefined) return []
    const read = readRowId(id)
    if (read === null || isTooLargeId(read))
      throw new InvalidInputError(
        `deletedIds holds ${formatValue(id)}, which is no attachment id.`,
        { details },
      )
    return [read]
  })
}

function readBoolean(input: unknown, details: ErrorDetails): boolean {
  const value: unknown = Array.isArray(input) ? input.at(-1) : input
  if (value === undefined || value === null || value === '' || value === false) return false
  if (value === true) return true
  const text =
    typeof value === 'string' || typeof value === 'number' ? String(value).toLowerCase() : ''
  if (['1', 'true', 'on', 't', 'yes'].includes(text)) return true
  if (['0', 'false', 'off', 'f', 'no'].includes(text)) return false
  throw new InvalidInputError(`cleanBefore is ${formatValue(value)}: give true or false.`, {
    details,
  })
}
