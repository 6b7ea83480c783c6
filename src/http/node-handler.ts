import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequest, sendResponse } from '@remix-run/node-fetch-server'
import type { Mountable } from './mountable.ts'

/** Node's own request, and what frameworks add to it. */
interface Incoming extends IncomingMessage {
  /** Where a framework has cut the mount point off `url`. */
  originalUrl?: string
  /** What another parser made of the body. */
  body?: unknown
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
export function nodeHandler(storage: Mountable): (req: IncomingMessage, res: ServerResponse, next?: () => void) => void {
  return (req, res, next) => {
    const path = (req as Incoming).originalUrl ?? req.url ?? '/'
    if (path.startsWith(`${storage.basePath}/`)) void respond(storage, req, res, path)
    else if (next !== undefined) next()
    else res.writeHead(404).end()
  }
}

async function respond(storage: Mountable, req: Incoming, res: ServerResponse, path: string): Promise<void> {
  try {
    const request = requestOf(req, res, path)
    if (request === null) res.writeHead(400).end()
    else await sendResponse(res, await storage.handler(request))
  } catch {
    // The bytes broke off, and the client must not take what it has for all of them; or it left by itself.
    res.destroy()
  }
}

/** null: its host or its path is no valid one. */
function requestOf(req: Incoming, res: ServerResponse, path: string): Request | null {
  const { url } = req
  try {
    req.url = path
    const request = createRequest(req, res)
    const read = bodyRead(req)
    if (read === undefined) return request
    return new Request(request.url, { method: request.method, headers: request.headers, body: read })
  } catch {
    return null
  } finally {
    if (url !== undefined) req.url = url
  }
}

/** The body once more, where a parser that comes first has read it: a JSON parser for the whole app, as it often is. */
function bodyRead(req: Incoming): string | Uint8Array<ArrayBuffer> | undefined {
  const { body, readableEnded } = req
  if (!readableEnded || body === undefined || ['GET', 'HEAD'].includes(req.method ?? 'GET')) return undefined
  if (typeof body === 'string') return body
  return body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body)
}
