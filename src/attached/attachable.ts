import type { Readable } from 'node:stream'
import { readBlob, isBlobLike, isEmptyInput, type BlobLike } from '../blobs/blob-like.ts'
import { isBytes } from '../blobs/byte-stream.ts'
import type { IncomingFile } from '../blobs/incoming-file.ts'
import { InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'
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

/** Where bytes come from. A stream is read once, and never held whole. */
export type Source = Uint8Array | ReadableStream<Uint8Array> | Readable | AsyncIterable<Uint8Array>

/** What can be attached. A string is a signed id, of a staged file or of a blob. */
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
/** No file: nothing happens. */
export type NoFile = null | undefined
/** What a has-one takes. */
export type OneInput = Attachable | NoFile

/** Changes of a has-many. Forms may name them in snake_case. */
export interface ManyChanges {
  readonly files?: readonly (Attachable | NoFile)[] | Attachable | NoFile
  /** Ids of attachments to remove. */
  readonly deletedIds?: readonly (bigint | number | string)[]
  /** Removes what was attached before and is not named in `files`, when the first new file is attached. Without a new file, at once. */
  readonly cleanBefore?: boolean
}
/** What a has-many takes. Files are added to those that are there. */
export type ManyInput = Attachable | NoFile | readonly (Attachable | NoFile)[] | ManyChanges

/** An attachable, told apart. */
export type AttachableInput =
  | { readonly kind: 'bytes'; readonly file: IncomingFile }
  | { readonly kind: 'signed'; readonly signedId: string }
  | { readonly kind: 'staged'; readonly file: StagedFile }

const KNOWN_KEYS = {
  io: ['io', 'filename', 'contentType'],
  path: ['path', 'filename', 'contentType'],
} as const

/** null: no file (`''`, a file input that was left empty, null, undefined). Throws InvalidInputError on what is none. */
export async function readAttachable(
  input: unknown,
  details: ErrorDetails,
): Promise<AttachableInput | null> {
  if (input === null || input === undefined || input === '') return null
  if (typeof input === 'string') {
    if (!input.includes('--'))
      throw new InvalidInputError(
        `${formatValue(input)} is no signed id. To attach a file from disk, pass { path: … }.`,
        {
          details,
        },
      )
    return { kind: 'signed', signedId: input }
  }
  if (input instanceof StagedFile) return { kind: 'staged', file: input }
  if (isBlobLike(input)) return readBlobInput(input, details)
  if (isBytes(input))
    throw notAFileError('Bytes have no name: pass { io: bytes, filename }', details)
  if (typeof input !== 'object') throw notAFileError(`A ${typeof input} is no file`, details)
  if (
    typeof (input as Partial<Readable>).pipe === 'function' ||
    typeof (input as Partial<ReadableStream>).getReader === 'function'
  )
    throw notAFileError('A stream has no name: pass { io: stream, filename }', details)
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
  const form = 'io' in input ? 'io' : typeof path === 'string' ? 'path' : null
  if (form === null) throw notAFileError(`An object of ${describeKeys(input)} is no file`, details)
  const unknown = Object.keys(input).find(
    (key) => !(KNOWN_KEYS[form] as readonly string[]).includes(key),
  )
  if (unknown !== undefined)
    throw new InvalidInputError(
      `{ ${form} } takes ${KNOWN_KEYS[form].join(', ')}; '${unknown.slice(0, 30)}' is not known beside them.`,
      {
        details,
      },
    )
  const name = readText(filename, 'filename', details)
  const declaredType = readText(contentType, 'contentType', details)
  if (form === 'path') return toBytesInput(fileFromPath(path as string, name, declaredType))
  if (name === undefined)
    throw new InvalidInputError('{ io } needs a filename beside it.', { details })
  return toBytesInput({
    filename: name,
    declaredType,
    open: createByteSource(io, { ...details, filename: name }),
  })
}

function readText(value: unknown, key: string, details: ErrorDetails): string | undefined {
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined
  throw new InvalidInputError(`${key} of a file is a ${typeof value}: give text.`, { details })
}

function describeKeys(input: Record<string, unknown>): string {
  const all = Object.keys(input)
  return all.length === 0 ? 'no keys' : `the keys ${all.slice(0, 3).join(', ').slice(0, 40)}`
}
