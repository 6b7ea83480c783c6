import { Readable } from 'node:stream'
import { toByteStream, isBytes } from '../blobs/byte-stream.ts'
import { readIncomingFile } from '../blobs/incoming-file.ts'
import { ConfigurationError, InvalidInputError, type ErrorDetails } from '../errors/errors.ts'

type NodeStream = Parameters<typeof Readable.fromWeb>[0]

/** A request of the web, of whatever library, or Node's own. */
export type FormRequest = Request | NodeRequest
/** What is read of Node's IncomingMessage. */
export interface NodeRequest extends Readable {
  headers: Record<string, string | string[] | undefined>
  /** Bytes that a parser, or the platform, has left beside (Cloud Functions, NestJS). */
  rawBody?: unknown
  /** The parser's result: `express.raw()` puts bytes here. */
  body?: unknown
}

const isFunction = (value: unknown): boolean => typeof value === 'function'

export const isNodeRequest = (request: FormRequest): request is NodeRequest =>
  isFunction((request as Partial<NodeRequest>).pipe)

/** Throws ConfigurationError on what is neither, such as a framework's own context. */
export function checkRequest(request: FormRequest): void {
  const { headers, pipe, arrayBuffer } = ((request as unknown) ?? {}) as Partial<
    Record<'headers' | 'pipe' | 'arrayBuffer', unknown>
  >
  const isNode = isFunction(pipe) && typeof headers === 'object' && headers !== null
  if (
    isNode ||
    (isFunction(arrayBuffer) && isFunction((headers as Partial<Headers> | undefined)?.get))
  )
    return
  throw new ConfigurationError(
    "parseForm takes a web Request or Node's request, and was given something else. Pass c.req.raw in Hono, ctx.req in Koa, request.raw in Fastify.",
  )
}

/** What bodies are read as. The web's requests of some libraries do not say that they were read. */
const openBodies = new WeakMap<FormRequest, Readable>()

const isBodyEmpty = (request: FormRequest): boolean =>
  !isNodeRequest(request) && (request.body ?? null) === null
const isBodyRead = (request: FormRequest): boolean =>
  isNodeRequest(request)
    ? request.readableEnded || request.destroyed
    : request.bodyUsed || openBodies.has(request)

/** '': there is none. */
export function readHeader(request: FormRequest, name: string): string {
  return String((isNodeRequest(request) ? request.headers[name] : request.headers.get(name)) ?? '')
}

/** The bytes of a body that was read before, where whoever read it has kept them. */
export function readKeptBody({
  readableDidRead,
  readableEnded,
  rawBody,
  body,
}: NodeRequest): Uint8Array | null {
  const bytes = rawBody ?? body
  return (readableDidRead || readableEnded) && isBytes(bytes) ? bytes : null
}

/** The body as a stream. What is not read of it is left where it is: see `bodyLeftOf`. */
export function openRequestBody(request: FormRequest): Readable {
  const kept = isNodeRequest(request) ? readKeptBody(request) : null
  if (kept !== null) return Readable.from([kept])
  if (isBodyRead(request))
    throw new InvalidInputError(
      'The body of this request was read before: by another parser of forms, which must not come first, or by request.formData().',
    )
  const body = isNodeRequest(request) ? request : toReadable(request.body)
  openBodies.set(request, body)
  // Also when it was given up: what breaks off then concerns nobody.
  return body.on('error', () => undefined)
}

function toReadable(body: unknown): Readable {
  if (body === null || body === undefined) return Readable.from([])
  if (body instanceof ReadableStream) return Readable.fromWeb(body as NodeStream)
  const stream = toByteStream(body)
  if (stream === null) throw new InvalidInputError('The body of this request is no stream.')
  return stream instanceof Readable ? stream : Readable.from(stream, { objectMode: false })
}

/** What was not read of a body; null: nothing, or it is in other hands. */
export function findUnreadBody(request: FormRequest): Readable | null {
  const body =
    openBodies.get(request) ??
    (isBodyRead(request) || isBodyEmpty(request) ? null : openRequestBody(request))
  return body === null || body.readableEnded || body.destroyed ? null : body
}

/** The body in pieces. */
export async function* readBodyBytes(
  request: Request,
  details: ErrorDetails & { readonly filename: string },
): AsyncGenerator<Uint8Array> {
  const body = openRequestBody(request)
  const open = (): AsyncIterable<Uint8Array> =>
    body.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>
  yield* readIncomingFile({ filename: details.filename, open }, details, undefined)
}

/** A small JSON body. Throws InvalidInputError on what is none, or is too long. */
export async function readJson(request: Request, limit: number): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of readBodyBytes(request, { filename: 'The body' })) {
    size += chunk.length
    if (size > limit) throw new InvalidInputError(`The body is longer than ${limit} bytes.`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown
  } catch (error) {
    throw new InvalidInputError('The body is no JSON.', { cause: error })
  }
}
