import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpAdapterHost } from '@nestjs/core'
import type { Mountable } from '../http/mountable.ts'
import { nodeHandler } from '../http/node-handler.ts'

type Adapter = HttpAdapterHost['httpAdapter']

/** A storage's handler in an app. */
export interface Mounted {
  /** Ends what goes on until the client leaves: progress. The server would wait for it. */
  endStreams(): void
}

/** Where `adapter` has none, there is nothing to serve: an application context, or a microservice. */
export function mount(storage: Mountable, adapter: Adapter | null | undefined): Mounted {
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

const FORM = 'multipart/form-data'
interface Fastify {
  hasContentTypeParser(type: string): boolean
  addContentTypeParser(
    type: string,
    parser: (request: unknown, payload: unknown, done: (error: null) => void) => void,
  ): void
}

/** Fastify refuses what it has no parser for. One of the app's own stays: it reads nothing before it is asked to. */
export function leaveForms(adapter: Adapter | null | undefined): void {
  if (adapter?.getType() !== 'fastify') return
  const app = adapter.getInstance<Fastify>()
  if (!app.hasContentTypeParser(FORM))
    app.addContentTypeParser(FORM, (_request, _payload, done) => done(null))
}
