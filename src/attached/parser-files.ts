import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import type { Readable } from 'node:stream'
import { isEmptyInput } from '../blobs/blob-like.ts'
import { isBytes, toNonEmptyStream, isStreamUsed } from '../blobs/byte-stream.ts'
import type { IncomingFile } from '../blobs/incoming-file.ts'
import type { ErrorDetails } from '../errors/errors.ts'
import { createByteSource, readBeforeError, wasHandedOver } from './byte-source.ts'

/** A file of multer (memory or disk storage). */
export interface MulterFile {
  originalname: string
  mimetype: string
  size: number
  buffer?: Uint8Array
  path?: string
}
/** A file of formidable 2 and later. */
export interface FormidableFile {
  filepath: string
  originalFilename: string | null
  mimetype: string | null
  size: number
}
/** A file of formidable 1, and of koa-body. */
export interface Formidable1File {
  path: string
  name: string | null
  type: string | null
  size: number
}
/** A file of @fastify/multipart: a stream, a part of the parsed body, or a saved file. */
export interface FastifyFile {
  type: 'file'
  filename: string
  mimetype: string
  file: Readable
  toBuffer?(): Promise<Uint8Array>
  filepath?: string
}

/** Reads the file of a form parser. undefined: it is not one; null: the file input was empty. */
export async function readParserFile(
  input: Readonly<Record<string, unknown>>,
  details: ErrorDetails,
): Promise<IncomingFile | null | undefined> {
  if (isFastifyFile(input)) return readFastifyFile(input, details)
  const { originalname, filepath, path, buffer, size } = input
  if (typeof originalname === 'string') {
    const data = isBytes(buffer)
      ? createByteSource(buffer, details)
      : typeof path === 'string'
        ? () => createReadStream(path)
        : null
    return data === null
      ? undefined
      : toIncomingFile(originalname, input['mimetype'], size, details, data)
  }
  if (typeof filepath === 'string' && 'originalFilename' in input)
    return toIncomingFile(input['originalFilename'], input['mimetype'], size, details, () =>
      createReadStream(filepath),
    )
  if (typeof path === 'string' && typeof size === 'number' && 'name' in input && 'type' in input)
    return toIncomingFile(input['name'], input['type'], size, details, () => createReadStream(path))
  return undefined
}

const isFastifyFile = (input: object): input is FastifyFile =>
  'type' in input && input.type === 'file' && 'file' in input && isStream(input.file)

const isStream = (value: unknown): value is Readable =>
  typeof value === 'object' && value !== null && 'pipe' in value && typeof value.pipe === 'function'

const textOrEmpty = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Makes an incoming file of a parsed file. null: the file input was empty. */
function toIncomingFile(
  filename: unknown,
  declaredType: unknown,
  size: unknown,
  details: ErrorDetails,
  open: () => AsyncIterable<Uint8Array>,
): IncomingFile | null {
  const name = textOrEmpty(filename)
  const type = textOrEmpty(declaredType)
  if (
    isEmptyInput(
      { name, type, size: typeof size === 'number' ? size : Infinity },
      details.attachment,
    )
  )
    return null
  return { filename: name === '' ? 'file' : name, declaredType: type, open }
}

async function readFastifyFile(
  part: FastifyFile,
  details: ErrorDetails,
): Promise<IncomingFile | null> {
  const { file, mimetype, filepath } = part
  const filename = textOrEmpty(part.filename)
  const fileDetails = { ...details, filename: filename === '' ? 'file' : filename }
  const bytesRead = countBytesRead(file)
  if (typeof filepath === 'string')
    return toIncomingFile(filename, mimetype, bytesRead, details, () => createReadStream(filepath))
  // The plugin has read the stream and keeps the bytes if `attachFieldsToBody` is set.
  if (part.toBuffer !== undefined && isStreamUsed(file) && !wasHandedOver(file))
    return toIncomingFile(
      filename,
      mimetype,
      filename === '' ? bytesRead : undefined,
      details,
      () => readPartBuffer(part, fileDetails),
    )
  const open = createByteSource(file, fileDetails)
  if (filename !== '') return toIncomingFile(filename, mimetype, undefined, details, open)
  // A part without a filename is an empty input, unless it has bytes.
  const rest = await toNonEmptyStream(open())
  return rest === null ? null : toIncomingFile('', mimetype, undefined, details, () => rest)
}

/** Throws if the app has read the part before: its buffer is then shorter than its stream was. */
async function* readPartBuffer(
  part: FastifyFile,
  details: ErrorDetails,
): AsyncGenerator<Uint8Array> {
  const data = (await part.toBuffer?.()) ?? new Uint8Array()
  if (data.length < (countBytesRead(part.file) ?? 0)) throw readBeforeError(details)
  yield data
}

/** Counts the bytes that have passed a stream of busboy; undefined: it is another stream. */
const countBytesRead = (stream: Readable): number | undefined =>
  'bytesRead' in stream && typeof stream.bytesRead === 'number' ? stream.bytesRead : undefined

/** Makes an incoming file of a file on this machine. Its bytes are read when they are stored. */
export function fileFromPath(
  path: string,
  filename: string | undefined,
  contentType: string | undefined,
): IncomingFile {
  return {
    filename: filename ?? basename(path),
    declaredType: contentType,
    open: () => createReadStream(path),
  }
}
