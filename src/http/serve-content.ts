import { respond, HttpResponseError } from './responses.ts'
import { checkConditions } from './conditions.ts'
import { parseRange, type ByteRange } from './range.ts'

/** Bytes that can be served whole, in part, or not at all, because the client has them. */
export interface Content {
  /** Bytes; null: not known, and then no ranges are. */
  readonly size: number | null
  readonly contentType: string
  /** Whole Content-Disposition header. */
  readonly disposition: string
  readonly cacheControl: string
  /** A strong one, with its quotes: it names the bytes. */
  readonly etag: string | null
  readonly lastModified: Date | null
  /** Throws before the first byte when they are not there. */
  open(range: ByteRange | null): AsyncIterable<Uint8Array>
}

/** Bytes that are read before the answer begins, so that what is missing of them is known by then. */
const MAX_BUFFERED_BYTES = 256 * 1024

/** What is shown in the page must not act in it: no script, no form, no request of its own. */
const SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

/** Answers GET and HEAD with conditions and ranges (RFC 9110). */
export async function serveContent(request: Request, content: Content): Promise<Response> {
  const { size } = content
  const given: Record<string, string> = {
    'Content-Type': content.contentType,
    'Content-Disposition': content.disposition,
    'Cache-Control': content.cacheControl,
    ...(content.etag === null ? {} : { ETag: content.etag }),
    ...(content.lastModified === null
      ? {}
      : { 'Last-Modified': content.lastModified.toUTCString() }),
    // Chromium shows no PDF in a sandbox; its viewer is one by itself.
    ...(content.contentType === 'application/pdf' ? {} : { 'Content-Security-Policy': SANDBOX }),
    ...(size === null ? {} : { 'Accept-Ranges': 'bytes' }),
  }
  const condition = checkConditions(request, content)
  if (condition === 'failed') return respond(412, { 'Cache-Control': 'no-store' })
  if (condition === 'fresh') return respond(304, given)
  const range =
    size === null || !allowsRange(request, content)
      ? null
      : parseRange(request.headers.get('range'), size)
  if (range === 'unsatisfiable')
    return respond(416, {
      'Content-Range': `bytes */${size}`,
      'Cache-Control': 'no-store',
      'Content-Type': content.contentType,
    })
  if (range !== null) given['Content-Range'] = `bytes ${range[0]}-${range[1]}/${size}`
  const length = range === null ? size : range[1] - range[0] + 1
  if (length !== null) given['Content-Length'] = String(length)
  return respond(
    range === null ? 200 : 206,
    given,
    length === 0 ? null : await openContentBody(request, content, range, length),
  )
}

/** A part is only of use to a client whose other parts are of the same bytes. */
function allowsRange({ method, headers }: Request, { etag, lastModified }: Content): boolean {
  if (method !== 'GET') return false
  const condition = headers.get('if-range')?.trim()
  return condition === undefined || condition === etag || condition === lastModified?.toUTCString()
}

/** Nothing is answered before the first bytes are there: what is missing is a 404, and not a file that breaks off. */
async function openContentBody(
  request: Request,
  content: Content,
  range: ByteRange | null,
  length: number | null,
): Promise<ReadableStream<Uint8Array> | null> {
  const source = content.open(range)[Symbol.asyncIterator]()
  if (request.method === 'HEAD') {
    // One byte tells whether there are any.
    await source.next()
    await source.return?.()
    return null
  }
  const first = await source.next()
  if (length !== null && length <= MAX_BUFFERED_BYTES) {
    const chunks: Uint8Array[] = []
    for (let next = first; next.done !== true; next = await source.next()) chunks.push(next.value)
    if (chunks.reduce((sum, chunk) => sum + chunk.length, 0) !== length)
      throw new HttpResponseError(respond(404, { 'Cache-Control': 'no-store' }))
    return streamChunks(chunks)
  }
  return streamContent(source, first, length)
}

/** What is there already. A Response copies bytes that it is given as such, which takes six times as long. */
function streamChunks(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
}

/** Pulls as the client reads. `cancel` is the one sign of a client that left: a request's signal may never fire. */
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
          // A client that was promised more must not take it for all, nor wait for the rest.
          if (length !== null && sent !== length)
            throw new Error(`${sent} of ${length} bytes were there.`)
          controller.close()
          return
        }
        sent += value.length
        controller.enqueue(value)
        // Read while the piece before travels.
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
