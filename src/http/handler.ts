import type { StorageContext } from '../attached/context.ts'
import { ActiveStorageError, type ErrorDetails } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { publicErrorOf } from '../errors/public-error.ts'
import { discardBody } from './discard-body.ts'
import type { ProgressHub } from './progress/hub.ts'
import { HttpResponseError, respondPublicError } from './responses.ts'
import { routeRequest, type Route } from './router.ts'
import { proxyBlob, redirectToBlob } from './routes/blobs.ts'
import { showUpload } from './routes/delayed-uploads.ts'
import { createDirectUpload } from './routes/direct-uploads.ts'
import { showDisk, updateDisk } from './routes/disk.ts'
import { showPending } from './routes/pending.ts'
import { createStagedFile, deleteStagedFile } from './routes/staged-files.ts'

/** Lists Rails' routes first, then the library's own. */
const listRoutes = (hub: ProgressHub): readonly Route<StorageContext>[] => [
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

/**
 * Creates `storage.handler`. It never rejects: each error becomes a response. Errors that the
 * client caused are logged as 'debug', all others as 'error', with the reference that the response
 * names.
 */
export function createHandler(
  context: StorageContext,
  hub: ProgressHub,
): (request: Request) => Promise<Response> {
  const routes = listRoutes(hub)
  return async (request) => {
    const response = await routeRequest(context, routes, context.basePath, request).catch(
      (error: unknown) => respondToError(context, request, error),
    )
    if (response.status >= 400) await discardBody(request, response.status, context.afterRefusal)
    return response
  }
}

function respondToError({ log }: StorageContext, request: Request, error: unknown): Response {
  if (error instanceof HttpResponseError) return error.response
  const publicError = publicErrorOf(error)
  const { reference } = publicError
  const path = new URL(request.url).pathname.slice(0, 100)
  const details = { ...errorDetailsOf(error), error }
  if (request.signal.aborted)
    log('debug', `The client of ${request.method} ${path} left before the response.`, details)
  else if (reference === null)
    log('debug', `${request.method} ${path} was refused: ${messageOf(error)}`, details)
  else
    log('error', `${request.method} ${path} failed (reference ${reference}).`, {
      ...details,
      reference,
    })
  return respondPublicError(publicError)
}

const errorDetailsOf = (error: unknown): ErrorDetails =>
  error instanceof ActiveStorageError ? error.details : {}
