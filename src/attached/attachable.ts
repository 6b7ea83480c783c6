import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { Readable } from 'node:stream'
import type { IncomingFile } from '../blobs/incoming.ts'
import { InvalidInputError, type ErrorDetails } from '../errors.ts'
import { StagedFile } from './staged-file.ts'
import type { StoredBlob } from './values.ts'

/** Where bytes come from. A stream is read once, and never held whole. */
export type Source = Uint8Array | ReadableStream<Uint8Array> | Readable | AsyncIterable<Uint8Array>

/** What multer hands over (memory or disk storage). */
export interface MulterFile {
  originalname: string
  mimetype: string
  size: number
  buffer?: Uint8Array
  path?: string
}
/** What formidable hands over. */
export interface FormidableFile {
  filepath: string
  originalFilename: string | null
  mimetype: string | null
  size: number
}
/** What @fastify/multipart hands over: a part that streams in, is in the body already, or was saved to a file. */
export interface FastifyFile {
  type: 'file'
  filename: string
  mimetype: string
  file: Readable
  toBuffer?(): Promise<Uint8Array>
  filepath?: string
}

/** What can be attached. A string is a signed id, of a staged file or of a blob. */
export type Attachable =
  | File
  | Blob
  | { readonly io: Source; readonly filename: string; readonly contentType?: string }
  | { readonly path: string; readonly filename?: string; readonly contentType?: string }
  | MulterFile
  | FormidableFile
  | FastifyFile
  | StagedFile
  | StoredBlob
  | string
/** No file: nothing happens. */
export type Blank = null | undefined
/** What a has-one takes. */
export type OneInput = Attachable | Blank

/** Changes of a has-many. Forms may name them in snake_case. */
export interface ManyChanges {
  readonly files?: readonly (Attachable | Blank)[] | Attachable | Blank
  /** Ids of attachments to remove. */
  readonly deletedIds?: readonly (bigint | number | string)[]
  /** Removes what was attached before and is not named in `files`, when the first new file is attached. Without a new file, at once. */
  readonly cleanBefore?: boolean
}
/** What a has-many takes. Files are added to those that are there. */
export type ManyInput = Attachable | Blank | readonly (Attachable | Blank)[] | ManyChanges

/** An attachable, told apart. */
export type Input = { readonly kind: 'bytes'; readonly file: IncomingFile } | { readonly kind: 'signed'; readonly signedId: string }

/** null: no file (`''`, a nameless empty File, null, undefined). Throws InvalidInputError on what is none. */
export function readAttachable(input: unknown, details: ErrorDetails): Input | null {
  if (input === null || input === undefined || input === '') return null
  if (typeof input === 'string') {
    if (!input.includes('--'))
      throw new InvalidInputError(`${JSON.stringify(input.slice(0, 80))} is no signed id. To attach a file from disk, pass { path: … }.`, {
        details,
      })
    return { kind: 'signed', signedId: input }
  }
  if (input instanceof StagedFile) return { kind: 'signed', signedId: input.signedId }
  if (input instanceof Blob) return fromBlob(input)
  if (typeof input === 'object') {
    const found = fromObject(input as Record<string, unknown>, details)
    if (found !== null) return found
  }
  throw new InvalidInputError(
    `${input instanceof Uint8Array ? 'Bytes have no name: pass { io: bytes, filename }' : `A ${typeof input} is no file`}. Attachable are a File, { io, filename }, { path }, a file of multer, formidable or Fastify, a staged file, a blob, or a signed id.`,
    { details },
  )
}

function bytes(filename: string, declaredType: string | null | undefined, open: () => AsyncIterable<Uint8Array>): Input {
  return { kind: 'bytes', file: { filename, declaredType: declaredType ?? undefined, open } }
}

function fromBlob(blob: Blob): Input | null {
  const filename = blob instanceof File ? blob.name : ''
  if (filename === '' && blob.size === 0) return null
  // Not blob.stream(): it holds far more in memory than what is read.
  const slices = async function* (): AsyncGenerator<Uint8Array> {
    for (let start = 0; start < blob.size; start += 1 << 20) yield new Uint8Array(await blob.slice(start, start + (1 << 20)).arrayBuffer())
  }
  return bytes(filename === '' ? 'file' : filename, blob.type, slices)
}

function fromObject(input: Record<string, unknown>, details: ErrorDetails): Input | null {
  const text = (name: string): string | undefined => (typeof input[name] === 'string' ? input[name] : undefined)
  if (typeof input['signedId'] === 'string') return { kind: 'signed', signedId: input['signedId'] }
  if ('io' in input) {
    const filename = text('filename')
    if (filename === undefined) throw new InvalidInputError('{ io } needs a filename beside it.', { details })
    return bytes(filename, text('contentType'), source(input['io'], { ...details, filename }))
  }
  const original = text('originalname')
  if (original !== undefined) {
    const path = text('path')
    if (input['buffer'] instanceof Uint8Array) return bytes(original, text('mimetype'), source(input['buffer'], details))
    if (path !== undefined) return bytes(original, text('mimetype'), () => createReadStream(path))
  }
  const filepath = text('filepath')
  if (filepath !== undefined)
    return bytes(text('originalFilename') ?? text('filename') ?? basename(filepath), text('mimetype'), () => createReadStream(filepath))
  if (input['type'] === 'file' && input['file'] instanceof Readable) {
    const part = input as unknown as FastifyFile
    const named = { ...details, filename: text('filename') ?? 'file' }
    // With attachFieldsToBody the plugin has read the stream itself and keeps the bytes.
    const kept = part.toBuffer !== undefined && wasRead(part.file) && !consumed.has(part.file)
    return bytes(named.filename, text('mimetype'), kept ? () => buffered(part, named) : source(part.file, named))
  }
  const path = text('path')
  if (path !== undefined && !('mimetype' in input))
    return bytes(text('filename') ?? basename(path), text('contentType'), () => createReadStream(path))
  return null
}

const consumed = new WeakSet<object>()

/** Streams can be read once. One that was read before would be stored as an empty file; it is an error instead. */
function source(io: unknown, details: ErrorDetails): () => AsyncIterable<Uint8Array> {
  if (io instanceof Uint8Array) return () => whole(io)
  if (typeof io !== 'object' || io === null || !(Symbol.asyncIterator in io))
    throw new InvalidInputError(
      `io is ${typeof io === 'object' ? 'an object without bytes' : `a ${typeof io}`}: pass a Uint8Array, a Node stream or a web ReadableStream.`,
      { details },
    )
  if (
    consumed.has(io) ||
    (io instanceof Readable && wasRead(io)) ||
    (io instanceof ReadableStream && (io.locked || Readable.isDisturbed(io as never)))
  )
    throw readBefore(details)
  consumed.add(io)
  return () => io as AsyncIterable<Uint8Array>
}

const wasRead = (stream: Readable): boolean => stream.readableDidRead || stream.readableEnded || stream.destroyed

function readBefore(details: ErrorDetails): InvalidInputError {
  return new InvalidInputError(
    `${details.filename ?? 'The stream'} was read before: a stream can be handed over once. Stage it and use the staged file, or open it again.`,
    { details },
  )
}

/** A part that somebody else has read gives an empty buffer, though bytes went through its stream. */
async function* buffered(part: FastifyFile, details: ErrorDetails): AsyncGenerator<Uint8Array> {
  const data = (await part.toBuffer?.()) ?? new Uint8Array()
  const { bytesRead } = part.file as { readonly bytesRead?: number }
  if (data.length < (bytesRead ?? 0)) throw readBefore(details)
  yield data
}

async function* whole(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data
}
