import { InvalidInputError } from '../errors/errors.ts'
import { notFound, respond } from './responses.ts'
import { checkConditions } from './conditions.ts'
import { parseRange, type ByteRange } from './range.ts'

/** Bytes with the headers of their response. */
export interface Content {
  /** Bytes. null: unknown, and then no ranges are served. */
  readonly size: number | null
  readonly contentType: string
  /** Value of the Content-Disposition header. */
  readonly disposition: string
  readonly cacheControl: string
  /** Strong entity tag with its quotes. */
  readonly etag: string | null
  /** Value of the Last-Modified header. null: unknown. */
  readonly lastModified: Date | null
  /** Reads the bytes. Throws before the first byte when they are missing. */
  open(range: ByteRange | null): AsyncIterable<Uint8Array>
}

/** Bytes that are read before the response begins. A smaller file that is incomplete is a 404. */
const MAX_BUFFERED_BYTES = 256 * 1024

/** Lets a file be shown, but not act: it has no scripts, no forms and no requests of its own. */
const SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

/** Responds to GET and HEAD, with conditions and ranges (RFC 9110). */
export async function serveContent(request: Request, content: Content): Promise<Response> {
  const { size, contentType } = content
  const headers = createHeaders(content)
  const condition = checkConditions(request, content)
  if (condition === 'failed') return respond(412, { 'Cache-Control': 'no-store' })
  if (condition === 'fresh') return respond(304, headers)
  const hasRange = size !== null && allowsRange(request, content)
  const range = hasRange ? parseRange(request.headers.get('range'), size) : null
  if (range === 'unsatisfiable')
    return respond(416, {
      'Content-Range': `bytes */${size}`,
      'Cache-Control': 'no-store',
      'Content-Type': contentType,
    })
  if (range !== null) headers['Content-Range'] = `bytes ${range[0]}-${range[1]}/${size}`
  const length = range === null ? size : range[1] - range[0] + 1
  if (length !== null) headers['Content-Length'] = String(length)
  const body = length === 0 ? null : await openContentBody(request, content, range, length)
  return respond(range === null ? 200 : 206, headers, body)
}

function createHeaders({
  size,
  contentType,
  disposition,
  cacheControl,
  etag,
  lastModified,
}: Content): Record<string, string> {
  return {
    'Content-Type': contentType,
    'Content-Disposition': disposition,
    'Cache-Control': cacheControl,
    ...(etag === null ? {} : { ETag: etag }),
    ...(lastModified === null ? {} : { 'Last-Modified': lastModified.toUTCString() }),
    // Chromium shows no PDF in a sandbox, but its PDF viewer is a sandbox itself.
    ...(contentType === 'application/pdf' ? {} : { 'Content-Security-Policy': SANDBOX }),
    ...(size === null ? {} : { 'Accept-Ranges': 'bytes' }),
  }
}

/**
 * Returns whether the request may get a range. `If-Range` names the version of which the client
 * already has a part.
 */
function allowsRange({ method, headers }: Request, { etag, lastModified }: Content): boolean {
  if (method !== 'GET') return false
  const condition = headers.get('if-range')?.trim()
  return condition === undefined || condition === etag || condition === lastModified?.toUTCString()
}

/**
 * Reads the first bytes before the response begins, so that missing bytes are a 404 and not a
 * broken download.
 */
async function openContentBody(
  request: Request,
  content: Content,
  range: ByteRange | null,
  length: number | null,
): Promise<ReadableStream<Uint8Array> | null> {
  const source = content.open(range)[Symbol.asyncIterator]()
  if (request.method === 'HEAD') {
    // The first read fails when the bytes are missing.
    await source.next()
    await source.return?.()
    return null
  }
  const first = await source.next().catch((error: unknown) => {
    // The object has fewer bytes than its blob says, so the range begins after its end.
    if (range !== null && error instanceof InvalidInputError) throw notFound()
    throw error
  })
  if (length !== null && length <= MAX_BUFFERED_BYTES) {
    const chunks: Uint8Array[] = []
    for (let next = first; next.done !== true; next = await source.next()) chunks.push(next.value)
    if (chunks.reduce((sum, chunk) => sum + chunk.length, 0) !== length) throw notFound()
    return streamChunks(chunks)
  }
  return streamContent(source, first, length)
}

/**
 * Streams bytes in memory. A Response would copy bytes that it gets directly, which takes six times
 * as long.
 */
function streamChunks(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
}

/**
 * Reads bytes as fast as the client. Only `cancel` reports a client that has disconnected; the
 * request's signal may not.
 */
function streamContent(
  source: AsyncIterator<Uint8Array>,
  first: IteratorResult<Uint8Array>,
  length: number | null,
): ReadableStream<Uint8Array> {
  let sent = 0
  let next: Promise<IteratorResult<Uint8Array>> = Promise.resolve(first)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await next
        if (done === true) {
          // The response fails, so that the client does not take a part for the whole file.
          if (length !== null && sent !== length)
            throw new Error(`The source ended after ${sent} of ${length} bytes.`)
          controller.close()
          return
        }
        sent += value.length
        controller.enqueue(value)
        // The next piece is read while the client gets this one.
        next = source.next()
        next.catch(() => undefined)
      },
      async cancel() {
        await next.catch(() => undefined)
        await source.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}
