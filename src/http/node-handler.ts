import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequest, sendResponse } from '@remix-run/node-fetch-server'
import { respondError } from './responses.ts'
import { readKeptBody } from './request-body.ts'
import { closeAfterResponse } from './close-after-response.ts'
import type { Mountable } from './mountable.ts'

/** Node's own request, and what frameworks add to it. */
interface NodeMessage extends IncomingMessage {
  /** Where a framework has cut the mount point off `url`. */
  originalUrl?: string
  /** What another parser made of the body. */
  body?: unknown
  /** The bytes themselves, where a framework keeps them beside (NestJS). */
  rawBody?: unknown
}

/**
 * For `node:http`, and whatever takes its listeners or Connect's middleware: answers what is below `basePath`, and calls
 * `next` for the rest (without one, 404).
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

/** Without the origin that a client may name, as it does for a proxy (RFC 9112, 3.2.2). */
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
    const request = body === 'lost' ? null : createWebRequest(req, res, path, body)
    const response = request === null ? createRefusal(body) : await storage.handler(request)
    if (response.status >= 400) closeAfterResponse(req)
    // Of a response that has been closed, nobody is told so again.
    if (!res.destroyed) await sendResponse(res, response)
    // Nothing where it was sent whole. Where the client has left, before or meanwhile, its source learns of it.
    await response.body?.cancel()
    // Whoever is still sending what nobody reads would not see another answer on this connection.
    if (!req.complete) req.removeAllListeners('data').resume()
  } catch {
    // The bytes broke off, and the client must not take what it has for all of them; or it left by itself.
    res.destroy()
  }
}

function createRefusal(body: RecoveredBody): Response {
  if (body !== 'lost')
    return respondError(400, 'The host or the path of this request is not valid.', 'INVALID_INPUT')
  return respondError(
    500,
    'The body of this request was read by another parser before: mount activestorage-delayed before the parsers of the app.',
    'CONFIGURATION',
  )
}

/** null: its host or its path is no valid one. */
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
    return body === 'unread'
      ? request
      : new Request(request.url, { method: request.method, headers: request.headers, body })
  } catch {
    return null
  } finally {
    if (url !== undefined) req.url = url
  }
}

/** 'lost': somebody has read it, and kept nothing from which the bytes can be had again. */
type RecoveredBody = 'unread' | 'lost' | Uint8Array<ArrayBuffer> | null

/**
 * The body, where a parser that comes first has read it: a JSON parser for the whole app, as it often is. A file that was
 * parsed is not the file any more; what announces a direct upload is JSON itself.
 */
function recoverBody(req: NodeMessage, isJson: boolean): RecoveredBody {
  const { method = 'GET', body, readableDidRead, readableEnded } = req
  if (method === 'GET' || method === 'HEAD') return 'unread'
  if (!readableDidRead) return readableEnded ? null : 'unread'
  const kept = readKeptBody(req)
  if (kept !== null) return new Uint8Array(kept)
  if (!isJson || body === undefined) return 'lost'
  return new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body))
}
