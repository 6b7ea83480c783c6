import { requireService, type StorageContext } from '../../attached/context.ts'
import { findSignedBlob } from '../../attached/lookups.ts'
import { readToken } from '../../attached/signed-tokens.ts'
import { createUrl } from '../../attached/stored-values.ts'
import type { BlobRow } from '../../blobs/blob-rows.ts'
import { toContentDisposition } from '../../blobs/content-disposition.ts'
import { toSafeContentType } from '../../blobs/safe-content-type.ts'
import { assertBlobAllowed } from '../authorize.ts'
import { notFound, respondRedirect } from '../responses.ts'
import type { Params } from '../router.ts'
import { serveContent, type Content } from '../serve-content.ts'

/** Seconds until a service's URL expires; Rails' `service_urls_expire_in`. */
const SERVICE_URL_SECONDS = 300
/** Seconds of a hundred years, as in Rails. The bytes of a blob never change. */
const FOREVER_SECONDS = 3_155_695_200

async function findAllowedBlob(
  context: StorageContext,
  request: Request,
  signedId: string,
): Promise<BlobRow> {
  const row = await findSignedBlob(context, signedId)
  if (row === null) throw notFound()
  await assertBlobAllowed(context, request, 'read', row)
  return row
}

/** Reads `?disposition=` of a request; default 'inline'. */
export function readDisposition(request: Request): 'inline' | 'attachment' {
  return new URL(request.url).searchParams.get('disposition') === 'attachment'
    ? 'attachment'
    : 'inline'
}

/** Redirects to the service's URL, which expires. */
export async function redirectToBlob(
  context: StorageContext,
  request: Request,
  { signedId = '' }: Params,
): Promise<Response> {
  const row = await findAllowedBlob(context, request, signedId)
  const url = await createUrl(context, row, {
    disposition: readDisposition(request),
    expiresIn: `${SERVICE_URL_SECONDS}s`,
    signal: request.signal,
  })
  return respondRedirect(url, `max-age=${SERVICE_URL_SECONDS}, private`)
}

/** Sends the bytes through the app, as Rails' proxy mode does. */
export async function proxyBlob(
  context: StorageContext,
  request: Request,
  { signedId = '' }: Params,
): Promise<Response> {
  const row = await findAllowedBlob(context, request, signedId)
  const { contentType, mayBeInline } = toSafeContentType(row.contentType)
  const disposition = mayBeInline ? readDisposition(request) : 'attachment'
  return serveContent(request, {
    ...blobContent(context, row),
    contentType,
    disposition: toContentDisposition(disposition, row.filename),
    cacheControl: cacheControl(context, signedId),
  })
}

/**
 * Caches must ask again when the app has `authorize`. Otherwise they may keep a blob as long as its
 * signed id is valid.
 */
function cacheControl(context: StorageContext, signedId: string): string {
  if (context.authorize !== undefined) return 'max-age=0, private, must-revalidate'
  const expiresAt = readToken(context, 'blob', signedId)?.expiresAt ?? null
  if (expiresAt === null) return `max-age=${FOREVER_SECONDS}, public, immutable`
  return `max-age=${Math.max(0, Math.floor((expiresAt.getTime() - Date.now()) / 1000))}, private`
}

/** Returns the bytes of a blob, and the headers that identify them. */
export function blobContent(
  context: StorageContext,
  row: BlobRow,
): Pick<Content, 'size' | 'etag' | 'lastModified' | 'open'> {
  return {
    size: row.byteSize,
    etag: `"${row.checksum ?? row.key}"`,
    lastModified: row.createdAt,
    async *open(range) {
      yield* await requireService(context, row.serviceName).download(
        row.key,
        range === null ? {} : { range },
      )
    },
  }
}
