import type { StorageContext } from '../../attached/context.ts'
import { readDelayedFile } from '../../attached/delayed-values.ts'
import { findPendingFile, type PendingFile } from '../../attached/lookups.ts'
import { blobPath } from '../../attached/paths.ts'
import { readTokenId } from '../../attached/signed-tokens.ts'
import type { BlobRow } from '../../blobs/blob-rows.ts'
import { toContentDisposition } from '../../blobs/content-disposition.ts'
import { toSafeContentType } from '../../blobs/safe-content-type.ts'
import { IntegrityError } from '../../errors/errors.ts'
import { assertBlobAllowed, assertLaneReadable } from '../authorize.ts'
import { notFound, respondRedirect } from '../responses.ts'
import type { Params } from '../router.ts'
import { serveContent } from '../serve-content.ts'
import { readDisposition } from './blobs.ts'

/**
 * Sends the bytes of a staged file from the database, in any process. Redirects to the blob of an
 * attached file.
 */
export async function showPending(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const id = readTokenId(context, 'pending', token)
  if (id === null) throw notFound()
  // A worker may attach the file between two of our statements; the second look finds the blob.
  const response =
    (await tryShowPending(context, request, id, { isLast: false })) ??
    (await tryShowPending(context, request, id, { isLast: true }))
  if (response === null) throw notFound()
  return response
}

/**
 * Returns null when the file's rows changed while they were read. `isLast`: no further look
 * follows.
 */
async function tryShowPending(
  context: StorageContext,
  request: Request,
  id: string,
  { isLast }: { readonly isLast: boolean },
): Promise<Response | null> {
  const pending = await findPendingFile(context, id)
  if (pending === null) throw notFound()
  if (pending.kind === 'changed') return null
  if (pending.kind === 'attached') return redirectToAttached(context, request, pending.blob)
  await assertLaneReadable(context, request, pending.lane)
  try {
    return await servePending(context, request, pending.file)
  } catch (error) {
    // A worker attached the file and deleted its chunks. The blob has other bytes, because they
    // were transformed.
    if (error instanceof IntegrityError && !isLast) return null
    throw error
  }
}

async function redirectToAttached(
  context: StorageContext,
  request: Request,
  blob: BlobRow,
): Promise<Response> {
  await assertBlobAllowed(context, request, 'read', blob)
  const disposition = readDisposition(request)
  const options = disposition === 'attachment' ? { disposition } : {}
  return respondRedirect(blobPath(context, blob, options), 'no-store')
}

function servePending(
  context: StorageContext,
  request: Request,
  file: (PendingFile & { readonly kind: 'pending' })['file'],
): Promise<Response> {
  const { contentType, mayBeInline } = toSafeContentType(file.contentType)
  const disposition = mayBeInline ? readDisposition(request) : 'attachment'
  return serveContent(request, {
    size: file.byteSize,
    contentType,
    disposition: toContentDisposition(disposition, file.filename),
    cacheControl: 'max-age=0, private, must-revalidate',
    etag: `"${file.checksum}"`,
    lastModified: null,
    open: (range) => readDelayedFile(context, file, range === null ? {} : { range }),
  })
}
