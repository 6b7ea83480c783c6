import { ActiveStorageError, type ErrorDetails } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { publicErrorOf } from '../errors/public-error.ts'
import { respond, HttpResponseError, respondPublicError, notFound } from './responses.ts'
import { proxyBlob, redirectToBlob } from './routes/blobs.ts'
import type { HttpContext } from './context.ts'
import { createDirectUpload } from './routes/direct-uploads.ts'
import { showDisk, updateDisk } from './routes/disk.ts'
import { showPending } from './routes/pending.ts'
import type { ProgressHub } from './progress/hub.ts'
import { showUpload } from './routes/delayed-uploads.ts'
import { discardBody } from './discard-body.ts'
import { matchPath, segmentsBelow, type Route } from './router.ts'
import { createStagedFile, deleteStagedFile } from './routes/staged-files.ts'

/** Rails' routes first, then ours. */
const listRoutes = (hub: ProgressHub): readonly Route<HttpContext>[] => [
  { method: 'GET', path: 'blobs/redirect/:signedId/*', handle: redirectToBlob },
  { method: 'GET', path: 'blobs/proxy/:signedId/*', handle: proxyBlob },
  { method: 'GET', path: 'blobs/:signedId/*', handle: redirectToBlob },
  { method: 'GET', path: 'disk/:token/*', handle: showDisk },
  { method: 'PUT', path: 'disk/:token', handle: updateDisk },
  { method: 'POST', path: 'direct_uploads', handle: createDirectUpload },
  { method: 'POST', path: 'direct_uploads/:token', handle: createDirectUpload },
  { method: 'POST', path: 'staged_files/:token', handle: createStagedFile },
  { method: 'DELETE', path: 'staged_files/:token', handle: deleteStagedFile },
  { method: 'GET', path: 'pending/:token/*', handle: showPending },
  {
    method: 'GET',
    path: 'delayed_uploads/:token',
    handle: (context, request, params) => showUpload(context, hub, request, params),
  },
]

/** `storage.handler`. Never rejects: what goes wrong is an answer, and is reported where it is not the request's own fault. */
export function createHandler(
  context: HttpContext,
  hub: ProgressHub,
): (request: Request) => Promise<Response> {
  const routes = listRoutes(hub)
  const answerTo = async (request: Request): Promise<Response> => {
    try {
      return await routeRequest(context, routes, request)
    } catch (error) {
      if (error instanceof HttpResponseError) return error.response
      const told = publicErrorOf(error)
      const { reference } = told
      const path = new URL(request.url).pathname.slice(0, 100)
      if (reference === null)
        context.log('debug', `${request.method} ${path} was refused: ${messageOf(error)}`, {
          ...errorDetailsOf(error),
          error,
        })
      else
        context.log('error', `${request.method} ${path} failed (reference ${reference}).`, {
          ...errorDetailsOf(error),
          reference,
          error,
        })
      return respondPublicError(told)
    }
  }
  return async (request) => {
    const response = await answerTo(request)
    if (response.status >= 400) await discardBody(request, response.status, context.afterRefusal)
    return response
  }
}

const errorDetailsOf = (error: unknown): ErrorDetails =>
  error instanceof ActiveStorageError ? error.details : {}

async function routeRequest(
  context: HttpContext,
  routes: readonly Route<HttpContext>[],
  request: Request,
): Promise<Response> {
  const segments = segmentsBelow(context.basePath, request.url)
  const method = request.method === 'HEAD' ? 'GET' : request.method
  const allowed: string[] = []
  for (const each of segments === null ? [] : routes) {
    const params = matchPath(each.path, segments ?? [])
    if (params === null) continue
    if (each.method === method)
      return withoutBody(request, await each.handle(context, request, params))
    allowed.push(each.method)
  }
  if (allowed.length === 0) throw notFound()
  return respond(405, {
    Allow: [...new Set(allowed)]
      .flatMap((each) => (each === 'GET' ? ['GET', 'HEAD'] : [each]))
      .join(', '),
    'Cache-Control': 'no-store',
  })
}

/** HEAD is GET without the body. */
async function withoutBody(request: Request, response: Response): Promise<Response> {
  if (request.method !== 'HEAD' || response.body === null) return response
  await response.body.cancel()
  return new Response(null, response)
}
