import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequest, sendResponse } from '@remix-run/node-fetch-server'
import { ConfigurationError } from '../errors/errors.ts'
import { respondError } from './responses.ts'
import { readKeptBody } from './request-body.ts'
import { closeAfterResponse } from './close-after-response.ts'
import type { Mountable } from './mountable.ts'

/** Node's request, with the members that frameworks add. */
interface NodeMessage extends IncomingMessage {
  /** The whole URL, when a framework has cut the mount point off `url`. */
  originalUrl?: string | undefined
  /** The result of another parser of bodies. */
  body?: unknown
  /** The raw bytes, when a framework keeps them (NestJS). */
  rawBody?: unknown
}

/**
 * Creates a listener for `node:http`, which is also middleware for Connect: it answers requests
 * below `basePath` and calls `next` for all others. Without `next` it answers them with 404.
 *
 * @example
 * import { createServer } from 'node:http'
 * import { nodeHandler } from 'activestorage-delayed/node'
 *
 * createServer(nodeHandler(storage)).listen(3000)
 */
export function nodeHandler(
  storage: Mountable,
): (req: IncomingMessage, res: ServerResponse, next?: () => void) => void {
  return (req, res, next) => {
    const path = readRequestPath(req)
    if (path.startsWith(`${storage.basePath}/`)) void handleRequest(storage, req, res, path)
    else if (next !== undefined) next()
    else res.writeHead(404).end()
  }
}

/** Returns the path without an origin, which requests to a proxy have (RFC 9112, 3.2.2). */
const readRequestPath = (req: NodeMessage): string =>
  (req.originalUrl ?? req.url ?? '/').replace(/^https?:\/\/[^/?#]*/i, '')

async function handleRequest(
  storage: Mountable,
  req: NodeMessage,
  res: ServerResponse,
  path: string,
): Promise<void> {
  try {
    const body = recoverBody(req, path.startsWith(`${storage.basePath}/direct_uploads`))
    const request = createWebRequest(req, res, path, body)
    const response = request === null ? invalidTarget() : await storage.handler(request)
    if (response.status >= 400) closeAfterResponse(req)
    // A closed response emits no second 'close', for which `sendResponse` would wait.
    if (!res.destroyed) await sendResponse(res, response)
    // The call does nothing after a complete response. It stops the source of the bytes if the
    // client has disconnected.
    await response.body?.cancel()
    // The rest of the body is thrown away, because a client that still sends it could not get the
    // next response on this connection.
    if (!req.complete) req.removeAllListeners('data').resume()
  } catch {
    // The connection is closed, because the body failed or the client disconnected: a client must
    // not take a part of the bytes for the whole file.
    res.destroy()
  }
}

const invalidTarget = (): Response =>
  respondError(400, 'The host or the path of this request is not valid.', 'INVALID_INPUT')

/**
 * Returns null for an invalid host or path, and for methods that the Fetch standard forbids, such
 * as TRACE.
 */
function createWebRequest(
  req: NodeMessage,
  res: ServerResponse,
  path: string,
  body: RecoveredBody,
): Request | null {
  const { url } = req
  try {
    req.url = path
    const request = createRequest(req, res)
    if (body === 'unread') return request
    const { method, headers } = request
    const init: RequestInit & { readonly duplex: 'half' } = {
      method,
      headers,
      body,
      duplex: 'half',
    }
    return new Request(request.url, init)
  } catch {
    return null
  } finally {
    if (url !== undefined) req.url = url
  }
}

/** 'unread': the request itself still has its body. null: the body is empty. */
type RecoveredBody = 'unread' | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null

/**
 * Finds the body that a parser of the app has read before. Many apps mount a JSON parser first.
 * JSON can be written again, which is enough for the announcement of a direct upload, but never for
 * a file: its bytes would differ.
 */
function recoverBody(req: NodeMessage, isJson: boolean): RecoveredBody {
  const { method = 'GET', body, readableDidRead, readableEnded } = req
  if (method === 'GET' || method === 'HEAD') return 'unread'
  if (!readableDidRead) return readableEnded ? null : 'unread'
  const kept = readKeptBody(req)
  if (kept !== null) return new Uint8Array(kept)
  if (!isJson || body === undefined) return lostBody()
  return new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body))
}

/**
 * Creates a body whose bytes are gone. It fails when a route reads it, so that routes which need no
 * body still answer.
 */
function lostBody(): ReadableStream<Uint8Array> {
  const message =
    'The body of this request was read by another parser before: mount activestorage-delayed before the parsers of the app.'
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        controller.error(new ConfigurationError(message, { publicMessage: message }))
      },
    },
    { highWaterMark: 0 },
  )
}
