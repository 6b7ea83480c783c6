import type { IncomingMessage, RequestListener } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** Node's requests to a handler of the web's, until the package brings its own: then this is one line. */
export function listener(handler: (request: Request) => Promise<Response>): RequestListener {
  return async (req, res) => {
    const response = await handler(requestOf(req))
    res.writeHead(response.status, Object.fromEntries(response.headers))
    if (response.body === null) res.end()
    else await pipeline(Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]), res).catch(() => res.destroy())
  }
}

function requestOf(req: IncomingMessage): Request {
  const { method = 'GET', headers, url = '/' } = req
  const hasBody = method !== 'GET' && method !== 'HEAD'
  return new Request(`http://${headers.host ?? 'localhost'}${url}`, {
    method,
    headers: headers as Record<string, string>,
    ...(hasBody ? { body: Readable.toWeb(req) as ReadableStream, duplex: 'half' } : {}),
  })
}
