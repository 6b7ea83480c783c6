import type { Readable } from 'node:stream'
import { readBlob, isBlobLike, isEmptyInput, type BlobLike } from '../blobs/blob-like.ts'
import { isBytes } from '../blobs/byte-stream.ts'
import type { IncomingFile } from '../blobs/incoming-file.ts'
import { InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { formatValue, toLogText } from '../errors/message.ts'
import { createByteSource } from './byte-source.ts'
import {
  readParserFile,
  fileFromPath,
  type FastifyFile,
  type Formidable1File,
  type FormidableFile,
  type MulterFile,
} from './parser-files.ts'
import { StagedFile } from './staged-file.ts'
import type { StoredBlob } from './values.ts'

export type { FastifyFile, Formidable1File, FormidableFile, MulterFile } from './parser-files.ts'

/** A source of bytes. A stream is read once and is never kept in memory as a whole. */
export type Source = Uint8Array | ReadableStream<Uint8Array> | Readable | AsyncIterable<Uint8Array>

/** A file to attach. A string is the signed id of a staged file or a blob. */
export type Attachable =
  | File
  | Blob
  | { readonly io: Source; readonly filename: string; readonly contentType?: string }
  | { readonly path: string; readonly filename?: string; readonly contentType?: string }
  | MulterFile
  | FormidableFile
  | Formidable1File
  | FastifyFile
  | StagedFile
  | StoredBlob
  | string
/** No file: nothing changes. */
export type NoFile = null | undefined
/** Input of a has-one. */
export type OneInput = Attachable | NoFile

/** Changes of a has-many. Forms may write the keys in snake_case. */
export interface ManyChanges {
  /** Files to add. */
  readonly files?: readonly (Attachable | NoFile)[] | Attachable | NoFile
  /** Ids of attachments to remove. */
  readonly deletedIds?: readonly (bigint | number | string)[]
  /**
   * Removes all attachments that `files` does not name, when the first new file is attached;
   * without a new file, at once.
   */
  readonly cleanBefore?: boolean
}
/** Input of a has-many. Files are added to the attached ones. */
export type ManyInput = Attachable | NoFile | readonly (Attachable | NoFile)[] | ManyChanges

/** An attachable by its kind. */
export type AttachableInput =
  | { readonly kind: 'bytes'; readonly file: IncomingFile }
  | { readonly kind: 'signed'; readonly signedId: string }
  | { readonly kind: 'staged'; readonly file: StagedFile }

/** Keys of `{ io }` and `{ path }`. */
const KNOWN_KEYS: Readonly<Record<'io' | 'path', readonly string[]>> = {
  io: ['io', 'filename', 'contentType'],
  path: ['path', 'filename', 'contentType'],
}

/**
 * Reads an attachable. null: no file (`''`, an empty file input, null, undefined). Throws
 * InvalidInputError for other values.
 */
export async function readAttachable(
  input: unknown,
  details: ErrorDetails,
): Promise<AttachableInput | null> {
  if (input === null || input === undefined || input === '') return null
  if (typeof input === 'string') {
    if (!input.includes('--'))
      throw new InvalidInputError(
        `${formatValue(input)} is no signed id. To attach a file from disk, pass { path: … }.`,
        { details },
      )
    return { kind: 'signed', signedId: input }
  }
  if (input instanceof StagedFile) return { kind: 'staged', file: input }
  if (isBlobLike(input)) return readBlobInput(input, details)
  if (isBytes(input))
    throw notAFileError('Bytes have no filename: pass { io: bytes, filename }', details)
  if (typeof input !== 'object') throw notAFileError(`A ${typeof input} is no file`, details)
  if (
    ('pipe' in input && typeof input.pipe === 'function') ||
    ('getReader' in input && typeof input.getReader === 'function')
  )
    throw notAFileError('A stream has no filename: pass { io: stream, filename }', details)
  return readObjectInput(input as Record<string, unknown>, details)
}

function notAFileError(why: string, details: ErrorDetails): InvalidInputError {
  return new InvalidInputError(
    `${why}. Attach a File, { io, filename }, { path }, a parser's file, a staged file, a blob or a signed id.`,
    { details },
  )
}

const toBytesInput = (file: IncomingFile | null): AttachableInput | null =>
  file === null ? null : { kind: 'bytes', file }

function readBlobInput(blob: BlobLike, details: ErrorDetails): AttachableInput | null {
  const name = typeof blob.name === 'string' ? blob.name : ''
  if (isEmptyInput({ name, type: blob.type, size: blob.size }, details.attachment)) return null
  return toBytesInput({
    filename: name === '' ? 'file' : name,
    declaredType: blob.type,
    open: () => readBlob(blob),
  })
}

async function readObjectInput(
  input: Record<string, unknown>,
  details: ErrorDetails,
): Promise<AttachableInput | null> {
  const { signedId, io, path, filename, contentType } = input
  if (typeof signedId === 'string') return { kind: 'signed', signedId }
  const parsed = await readParserFile(input, details)
  if (parsed !== undefined) return toBytesInput(parsed)
  const isIo = 'io' in input
  if (!isIo && typeof path !== 'string')
    throw notAFileError(`An object with ${describeKeys(input)} is no file`, details)
  assertKnownKeys(input, isIo ? 'io' : 'path', details)
  const name = readText(filename, 'filename', details)
  const declaredType = readText(contentType, 'contentType', details)
  if (!isIo && typeof path === 'string') return toBytesInput(fileFromPath(path, name, declaredType))
  if (name === undefined) throw new InvalidInputError('{ io } needs a filename.', { details })
  return toBytesInput({
    filename: name,
    declaredType,
    open: createByteSource(io, { ...details, filename: name }),
  })
}

function assertKnownKeys(input: object, form: 'io' | 'path', details: ErrorDetails): void {
  const known = KNOWN_KEYS[form]
  const unknown = Object.keys(input).find((key) => !known.includes(key))
  if (unknown !== undefined)
    throw new InvalidInputError(
      `{ ${form} } has the unknown key ${formatValue(unknown)}: it takes ${known.join(', ')}.`,
      { details },
    )
}

function readText(value: unknown, key: string, details: ErrorDetails): string | undefined {
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined
  throw new InvalidInputError(`${key} of a file is a ${typeof value}: give text.`, { details })
}

function describeKeys(input: Record<string, unknown>): string {
  const all = Object.keys(input)
  return all.length === 0
    ? 'no keys'
    : `the keys ${toLogText(all.slice(0, 3).join(', ').slice(0, 40))}`
}
