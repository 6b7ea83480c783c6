import { findBlob, type BlobRow } from '../blobs/blob-rows.ts'
import { contentDisposition } from '../blobs/content-disposition.ts'
import { served } from '../blobs/serving.ts'
import { PURPOSE, serviceOf } from '../attached/context.ts'
import { urlOf } from '../attached/stored-values.ts'
import type { Verified } from '../rails/message-verifier.ts'
import { notFound, redirect } from './answer.ts'
import { allowBlob } from './authorize.ts'
import { serve, type Content } from './content.ts'
import type { HttpContext } from './context.ts'
import type { Params } from './route.ts'

/** Seconds. Rails' `service_urls_expire_in`. */
const URL_EXPIRES = 300
/** Seconds: a hundred years, as Rails has it. A blob's bytes never change. */
const FOR_EVER = 3_155_695_200

async function findSigned(
  context: HttpContext,
  request: Request,
  signedId: string,
): Promise<{ row: BlobRow; signed: Verified }> {
  const signed = context.verifier.verify(signedId, { purpose: PURPOSE.blob })
  if (signed === null || signed.expired === true) throw notFound()
  const row = await findBlob((await context.store()).session, { id: String(signed.value) })
  if (row === null) throw notFound()
  await allowBlob(context, request, 'read', row)
  return { row, signed }
}

export function dispositionOf(request: Request): 'inline' | 'attachment' {
  return new URL(request.url).searchParams.get('disposition') === 'attachment'
    ? 'attachment'
    : 'inline'
}

/** To the service's own URL, which expires. */
export async function redirectToBlob(
  context: HttpContext,
  request: Request,
  { signedId = '' }: Params,
): Promise<Response> {
  const { row } = await findSigned(context, request, signedId)
  const url = await urlOf(context, row, {
    disposition: dispositionOf(request),
    expiresIn: `${URL_EXPIRES}s`,
  })
  return redirect(url, `max-age=${URL_EXPIRES}, private`)
}

/** The bytes, from here. */
export async function proxyBlob(
  context: HttpContext,
  request: Request,
  { signedId = '' }: Params,
): Promise<Response> {
  const { row, signed } = await findSigned(context, request, signedId)
  const { contentType, mayBeInline } = served(row.contentType)
  return serve(request, {
    ...contentOf(context, row),
    contentType,
    disposition: contentDisposition(
      mayBeInline ? dispositionOf(request) : 'attachment',
      row.filename,
    ),
    cacheControl: cacheControl(context, signed),
  })
}

/** Who may see it is asked each time, where the app wants to be asked; else a shared cache may keep it as long as the id is valid. */
function cacheControl({ authorize }: HttpContext, { expiresAt }: Verified): string {
  if (authorize !== undefined) return 'max-age=0, private, must-revalidate'
  if (expiresAt === undefined) return `max-age=${FOR_EVER}, public, immutable`
  return `max-age=${Math.max(0, Math.floor((expiresAt.getTime() - Date.now()) / 1000))}, private`
}

/** A blob's bytes, and what names them. */
export function contentOf(
  context: HttpContext,
  row: BlobRow,
): Pick<Content, 'size' | 'etag' | 'lastModified' | 'open'> {
  return {
    size: row.byteSize,
    etag: `"${row.checksum ?? row.key}"`,
    lastModified: row.createdAt,
    async *open(range) {
      yield* await serviceOf(context, row.serviceName).download(
        row.key,
        range === null ? {} : { range },
      )
    },
  }
}
