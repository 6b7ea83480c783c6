import { Readable } from 'node:stream'
import { bytesOf } from '../blobs/incoming.ts'
import { InvalidInputError, type ErrorDetails } from '../errors.ts'

/** A request of the web, or Node's own. */
export type FormRequest = Request | NodeRequest
/** What is read of Node's IncomingMessage. */
export interface NodeRequest extends Readable {
  headers: Record<string, string | string[] | undefined>
  /** Bytes that a parser, or the platform, has left beside (Cloud Functions, NestJS). */
  rawBody?: unknown
  /** What a parser made of them: bytes, of `express.raw()`. */
  body?: unknown
}

type NodeStream = Parameters<typeof Readable.fromWeb>[0]

const isRead = (request: FormRequest): boolean =>
  request instanceof Readable ? request.readableEnded || request.destroyed : request.bodyUsed

/** The bytes of a body that was read before, where whoever read it has kept them. */
export function keptBody({ readableDidRead, readableEnded, rawBody, body }: NodeRequest): Uint8Array | null {
  const bytes = rawBody ?? body
  return (readableDidRead || readableEnded) && bytes instanceof Uint8Array ? bytes : null
}

/** The body as a stream that can be let run out: a client that is still sending sees no answer before it has sent all. */
export function bodyOf(request: FormRequest): Readable {
  const kept = request instanceof Readable ? keptBody(request) : null
  if (kept !== null) return Readable.from([kept])
  if (isRead(request))
    throw new InvalidInputError(
      'The body of this request was read before: by another parser of forms, which must not come first, or by request.formData().',
    )
  const body =
    request instanceof Readable ? request : request.body === null ? Readable.from([]) : Readable.fromWeb(request.body as NodeStream)
  // Also when it was given up: what breaks off then concerns nobody.
  return body.on('error', () => undefined)
}

/** The body in pieces. What is not read to its end is swallowed. */
export async function* bytesIn(request: Request, details: ErrorDetails & { readonly filename: string }): AsyncGenerator<Uint8Array> {
  const body = bodyOf(request)
  try {
    const open = (): AsyncIterable<Uint8Array> => body.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>
    yield* bytesOf({ filename: details.filename, open }, details, undefined)
  } finally {
    body.resume()
  }
}

/** A small JSON body. Throws InvalidInputError on what is none, or is too long. */
export async function jsonIn(request: Request, limit: number): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bytesIn(request, { filename: 'The body' })) {
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
