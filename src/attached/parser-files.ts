import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import type { Readable } from 'node:stream'
import { isEmptyInput } from '../blobs/blob-like.ts'
import { isBytes, toNonEmptyStream, isStreamUsed } from '../blobs/byte-stream.ts'
import type { IncomingFile } from '../blobs/incoming-file.ts'
import type { ErrorDetails } from '../errors/errors.ts'
import { createByteSource, readBeforeError, wasHandedOver } from './byte-source.ts'

/** What multer hands over (memory or disk storage). */
export interface MulterFile {
  originalname: string
  mimetype: string
  size: number
  buffer?: Uint8Array
  path?: string
}
/** What formidable hands over since its version 2. */
export interface FormidableFile {
  filepath: string
  originalFilename: string | null
  mimetype: string | null
  size: number
}
/** What formidable 1 hands over, and koa-body with it. */
export interface Formidable1File {
  path: string
  name: string | null
  type: string | null
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

/** `undefined`: no parser's; `null`: an input that was left empty. */
export async function readParserFile(
  input: Readonly<Record<string, unknown>>,
  details: ErrorDetails,
): Promise<IncomingFile | null | undefined> {
  if (input['type'] === 'file' && isStream(input['file']))
    return readFastifyFile(input as unknown as FastifyFile, details)
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

const isStream = (value: unknown): value is Readable =>
  typeof value === 'object' && value !== null && 'pipe' in value && typeof value.pipe === 'function'

const textOrEmpty = (value: unknown): string => (typeof value === 'string' ? value : '')

/** null: an input that was left empty. */
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
  const told = { ...details, filename: filename === '' ? 'file' : filename }
  const { bytesRead } = file as { readonly bytesRead?: number }
  if (typeof filepath === 'string')
    return toIncomingFile(filename, mimetype, bytesRead, details, () => createReadStream(filepath))
  // With attachFieldsToBody the plugin has read the stream itself and keeps the bytes.
  if (part.toBuffer !== undefined && isStreamUsed(file) && !wasHandedOver(file))
    return toIncomingFile(
      filename,
      mimetype,
      filename === '' ? bytesRead : undefined,
      details,
      () => readPartBuffer(part, told),
    )
  const open = createByteSource(file, told)
  if (filename !== '') return toIncomingFile(filename, mimetype, undefined, details, open)
  // Only its bytes tell whether somebody chose a file.
  const rest = await toNonEmptyStream(open())
  return rest === null ? null : toIncomingFile('', mimetype, undefined, details, () => rest)
}

/** A part that somebody else has read gives an empty buffer, though bytes went through its stream. */
async function* readPartBuffer(
  part: FastifyFile,
  details: ErrorDetails,
): AsyncGenerator<Uint8Array> {
  const data = (await part.toBuffer?.()) ?? new Uint8Array()
  const { bytesRead } = part.file as { readonly bytesRead?: number }
  if (data.length < (bytesRead ?? 0)) throw readBeforeError(details)
  yield data
}

/** A file on this machine, of the app's own. */
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
