import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpAdapterHost } from '@nestjs/core'
import type { Mountable } from '../http/mountable.ts'
import { nodeHandler } from '../http/node-handler.ts'

type NestHttpAdapter = HttpAdapterHost['httpAdapter']

/** A storage's handler that is mounted in an app. */
export interface MountedHandler {
  /**
   * Ends streams of progress, which last until the client disconnects. The server would wait for
   * them.
   */
  endStreams(): void
}

/**
 * Mounts the handler. An application context or a microservice has no adapter, and serves nothing.
 */
export function mount(
  storage: Mountable,
  adapter: NestHttpAdapter | null | undefined,
): MountedHandler {
  const handle = nodeHandler(storage)
  const open = new Set<ServerResponse>()
  adapter?.use((req: IncomingMessage, res: ServerResponse, next: () => void) => {
    let isOurs = true
    handle(req, res, () => {
      isOurs = false
      next()
    })
    if (!isOurs) return
    open.add(res)
    res.once('close', () => open.delete(res))
  })
  return {
    endStreams() {
      for (const res of open)
        if (String(res.getHeader('content-type')).startsWith('text/event-stream')) res.destroy()
    },
  }
}

const FORM_TYPE = 'multipart/form-data'
/** Members of Fastify for parsers of bodies. */
interface FastifyParsers {
  hasContentTypeParser(type: string): boolean
  addContentTypeParser(
    type: string,
    parser: (request: unknown, payload: unknown, done: (error: null) => void) => void,
  ): void
}

/**
 * Adds a parser of forms to Fastify that reads nothing, because Fastify refuses bodies without a
 * parser. A parser of the app stays.
 */
export function skipFormParsing(adapter: NestHttpAdapter | null | undefined): void {
  if (adapter?.getType() !== 'fastify') return
  const app = adapter.getInstance<FastifyParsers>()
  if (!app.hasContentTypeParser(FORM_TYPE))
    app.addContentTypeParser(FORM_TYPE, (_request, _payload, done) => done(null))
}
