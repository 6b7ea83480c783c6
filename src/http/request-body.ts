import { Readable } from 'node:stream'
import { toByteStream, isBytes } from '../blobs/byte-stream.ts'
import { readIncomingFile } from '../blobs/incoming-file.ts'
import { ConfigurationError, InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { UNREADABLE_MESSAGE } from '../errors/public-message.ts'

type NodeStream = Parameters<typeof Readable.fromWeb>[0]

/** A web Request of any library, or Node's request. */
export type FormRequest = Request | NodeRequest
/** Members of Node's IncomingMessage that are read. */
export interface NodeRequest extends Readable {
  headers: Record<string, string | string[] | undefined>
  url?: string | undefined
  /** The whole path, when a framework has cut a mount point off `url`. */
  originalUrl?: string | undefined
  /** Raw bytes that a parser or the platform has kept (Cloud Functions, NestJS). */
  rawBody?: unknown
  /** Result of a parser. `express.raw()` puts bytes here. */
  body?: unknown
}

const isFunction = (value: unknown): boolean => typeof value === 'function'

/** Returns whether the request is Node's, and not a web Request. */
export const isNodeRequest = (request: FormRequest): request is NodeRequest =>
  'pipe' in request && isFunction(request.pipe)

/** Throws ConfigurationError for anything but a request, such as the context of a framework. */
export function checkRequest(request: FormRequest): void {
  const { headers, pipe, arrayBuffer, get }: Readonly<Record<string, unknown>> = {
    ...readMembers(request, ['headers', 'pipe', 'arrayBuffer']),
    ...readMembers(readMembers(request, ['headers'])['headers'], ['get']),
  }
  if (isFunction(pipe) && typeof headers === 'object' && headers !== null) return
  if (isFunction(arrayBuffer) && isFunction(get)) return
  throw new ConfigurationError(
    "parseForm takes a web Request or Node's request. Pass c.req.raw in Hono, ctx.req in Koa, request.raw in Fastify.",
  )
}

/** Reads members of any value; {} for null and undefined. */
function readMembers(value: unknown, names: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(
    names.map((name): [string, unknown] => [name, Reflect.get(value, name)]),
  )
}

/**
 * Streams of bodies that were opened. Web requests of some libraries do not say that they were
 * read.
 */
const openBodies = new WeakMap<FormRequest, Readable>()

const isBodyEmpty = (request: FormRequest): boolean =>
  !isNodeRequest(request) && (request.body ?? null) === null
const isBodyRead = (request: FormRequest): boolean =>
  isNodeRequest(request)
    ? request.readableEnded || request.destroyed
    : request.bodyUsed || openBodies.has(request)

/** Returns '' for a missing header. */
export function readHeader(request: FormRequest, name: string): string {
  return String((isNodeRequest(request) ? request.headers[name] : request.headers.get(name)) ?? '')
}

/** Returns the bytes of a body that a parser has read and kept. */
export function readKeptBody({
  readableDidRead,
  readableEnded,
  rawBody,
  body,
}: NodeRequest): Uint8Array | null {
  const bytes = rawBody ?? body
  return (readableDidRead || readableEnded) && isBytes(bytes) ? bytes : null
}

/**
 * Opens the body as a stream. Bytes that are not read stay in the request: see `findUnreadBody`.
 * Throws InvalidInputError.
 */
export function openRequestBody(request: FormRequest): Readable {
  const kept = isNodeRequest(request) ? readKeptBody(request) : null
  if (kept !== null) return Readable.from([kept])
  if (isBodyRead(request))
    throw new InvalidInputError(
      'The body of this request was read before: by another parser of forms, which must not come first, or by request.formData().',
    )
  const body = isNodeRequest(request) ? request : toReadable(request.body)
  openBodies.set(request, body)
  // A body that is no longer read may still fail, and without a listener the error would end the
  // process.
  return body.on('error', () => undefined)
}

function toReadable(body: unknown): Readable {
  if (body === null || body === undefined) return Readable.from([])
  if (body instanceof ReadableStream) return Readable.fromWeb(body as NodeStream)
  const stream = toByteStream(body)
  if (stream === null) throw new InvalidInputError('The body of this request is not a stream.')
  return stream instanceof Readable ? stream : Readable.from(stream, { objectMode: false })
}

/** Returns the rest of a body. null: all of it was read, or other code reads it. */
export function findUnreadBody(request: FormRequest): Readable | null {
  const body =
    openBodies.get(request) ??
    (isBodyRead(request) || isBodyEmpty(request) ? null : openRequestBody(request))
  return body === null || body.readableEnded || body.destroyed ? null : body
}

/** Reads the body in pieces. */
export async function* readBodyBytes(
  request: Request,
  details: ErrorDetails & { readonly filename: string },
): AsyncGenerator<Uint8Array> {
  const body = openRequestBody(request)
  const open = (): AsyncIterable<Uint8Array> =>
    body.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>
  yield* readIncomingFile({ filename: details.filename, open }, details, undefined)
}

/** Reads a JSON body of at most `limit` bytes. Throws InvalidInputError. */
export async function readJson(request: Request, limit: number): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of readBodyBytes(request, { filename: 'The body' })) {
    size += chunk.length
    if (size > limit) throw unreadableBody(`The body is longer than ${limit} bytes.`)
    chunks.push(chunk)
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString())
    return value
  } catch (error) {
    throw unreadableBody('The body is not JSON.', error)
  }
}

const unreadableBody = (message: string, cause?: unknown): InvalidInputError =>
  new InvalidInputError(message, { cause, publicMessage: UNREADABLE_MESSAGE })
