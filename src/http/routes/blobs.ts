import { readToken, type SignedToken } from '../../attached/signed-tokens.ts'
import { findBlob, type BlobRow } from '../../blobs/blob-rows.ts'
import { toContentDisposition } from '../../blobs/content-disposition.ts'
import { toSafeContentType } from '../../blobs/safe-content-type.ts'
import { type StorageContext, requireService } from '../../attached/context.ts'
import { createUrl } from '../../attached/stored-values.ts'
import { notFound, respondRedirect } from '../responses.ts'
import { assertBlobAllowed } from '../authorize.ts'
import { serveContent, type Content } from '../serve-content.ts'
import type { Params } from '../router.ts'

/** Seconds. Rails' `service_urls_expire_in`. */
const SERVICE_URL_SECONDS = 300
/** Seconds: a hundred years, as Rails has it. A blob's bytes never change. */
const FOREVER_SECONDS = 3_155_695_200

async function findSignedBlob(
  context: StorageContext,
  request: Request,
  signedId: string,
): Promise<{ row: BlobRow; signed: SignedToken }> {
  const signed = readToken(context, 'blob', signedId)
  if (signed === null) throw notFound()
  const row = await findBlob((await context.store()).session, { id: String(signed.value) })
  if (row === null) throw notFound()
  await assertBlobAllowed(context, request, 'read', row)
  return { row, signed }
}

export function readDisposition(request: Request): 'inline' | 'attachment' {
  return new URL(request.url).searchParams.get('disposition') === 'attachment'
    ? 'attachment'
    : 'inline'
}

/** To the service's own URL, which expires. */
export async function redirectToBlob(
  context: StorageContext,
  request: Request,
  { signedId = '' }: Params,
): Promise<Response> {
  const { row } = await findSignedBlob(context, request, signedId)
  const url = await createUrl(context, row, {
    disposition: readDisposition(request),
    expiresIn: `${SERVICE_URL_SECONDS}s`,
  })
  return respondRedirect(url, `max-age=${SERVICE_URL_SECONDS}, private`)
}

/** The bytes, from here. */
export async function proxyBlob(
  context: StorageContext,
  request: Request,
  { signedId = '' }: Params,
): Promise<Response> {
  const { row, signed } = await findSignedBlob(context, request, signedId)
  const { contentType, mayBeInline } = toSafeContentType(row.contentType)
  return serveContent(request, {
    ...blobContent(context, row),
    contentType,
    disposition: toContentDisposition(
      mayBeInline ? readDisposition(request) : 'attachment',
      row.filename,
    ),
    cacheControl: cacheControl(context, signed),
  })
}

/** Who may see it is asked each time, where the app wants to be asked; else a shared cache may keep it as long as the id is valid. */
function cacheControl({ authorize }: StorageContext, { expiresAt }: SignedToken): string {
  if (authorize !== undefined) return 'max-age=0, private, must-revalidate'
  if (expiresAt === null) return `max-age=${FOREVER_SECONDS}, public, immutable`
  return `max-age=${Math.max(0, Math.floor((expiresAt.getTime() - Date.now()) / 1000))}, private`
}

/** A blob's bytes, and what names them. */
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
