import { findBlob, type BlobRow } from '../blobs/blob-rows.ts'
import { deleteObjectLater } from '../blobs/object-intents.ts'
import { withoutParameters } from '../blobs/type-names.ts'
import { PURPOSE, serviceOf } from '../attached/context.ts'
import { ActiveStorageError, InvalidInputError } from '../errors.ts'
import { fileText } from '../public-message.ts'
import { answer, Answered, failure, notFound } from './answer.ts'
import { allowBlob } from './authorize.ts'
import { contentOf } from './blobs.ts'
import { bytesIn } from './body.ts'
import { serve } from './content.ts'
import type { HttpContext } from './context.ts'
import type { Params } from './route.ts'

// Rails' routes of the disk service: a token says what is served or stored, and for how long.

async function blobOf(context: HttpContext, key: string): Promise<BlobRow | null> {
  return findBlob((await context.store()).session, { key })
}

export async function showDisk(
  context: HttpContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const signed = context.verifier.verify(token, { purpose: PURPOSE.disk })
  if (signed === null || signed.expired === true) throw notFound()
  const {
    key,
    disposition,
    content_type: contentType,
    service_name: serviceName,
  } = signed.value as Record<string, string>
  if (key === undefined || serviceName === undefined || context.services[serviceName] === undefined)
    throw notFound()
  const row = await blobOf(context, key)
  if (row !== null) await allowBlob(context, request, 'read', row)
  const service = serviceOf(context, serviceName)
  return serve(request, {
    // An untracked variant of Rails' has no row that tells its size.
    ...(row === null
      ? {
          size: null,
          etag: null,
          lastModified: null,
          open: async function* () {
            yield* await service.download(key)
          },
        }
      : contentOf(context, row)),
    contentType: contentType ?? 'application/octet-stream',
    disposition: disposition ?? 'attachment',
    cacheControl: 'max-age=0, private, must-revalidate',
  })
}

/**
 * Stores what a browser announced, and nothing else. A token works once: not when the object is there already, and not when
 * its blob is gone.
 */
export async function updateDisk(
  context: HttpContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const signed = context.verifier.verify(token, { purpose: PURPOSE.diskUpload })
  if (signed === null || signed.expired === true) throw notFound()
  const value = signed.value as Record<string, unknown>
  const {
    key,
    content_type: contentType,
    content_length: byteSize,
    checksum,
    service_name: serviceName,
  } = value
  const service = context.services[String(serviceName)]
  const row = typeof key === 'string' ? await blobOf(context, key) : null
  if (service === undefined || row === null || row.serviceName !== serviceName) throw notFound()
  await allowBlob(context, request, 'upload', row)
  // Browsers add a charset to what they were told to send.
  if (
    withoutParameters(request.headers.get('content-type')) !==
    withoutParameters(String(contentType ?? 'application/octet-stream'))
  )
    throw refused(row, `The Content-Type is not ${String(contentType)}, which was announced.`)
  const length = request.headers.get('content-length')
  if (length !== null && Number(length) !== byteSize)
    throw refused(row, `${length} bytes are not the ${String(byteSize)} that were announced.`)
  if (await service.exists(row.key))
    throw new Answered(failure(409, `${fileText(row)} was uploaded already.`, 'ALREADY_UPLOADED'))
  try {
    await service.upload(row.key, bytesIn(request, { filename: row.filename }), {
      byteSize: Number(byteSize),
      checksum: String(checksum),
      contentType: String(contentType),
    })
  } catch (error) {
    if (error instanceof ActiveStorageError && error.code === 'INTEGRITY')
      throw refused(row, 'The bytes are not those that were announced.', error)
    throw error
  }
  await dropUnwanted(context, row)
  return answer(204, { 'Cache-Control': 'no-store' })
}

/** Throws the answer 404 where the blob was purged while its bytes came in. */
async function dropUnwanted(
  context: HttpContext,
  { id, serviceName, key }: BlobRow,
): Promise<void> {
  const { session, transact } = await context.store()
  if ((await findBlob(session, { id })) !== null) return
  await context.deleteNow([await transact((own) => deleteObjectLater(own, serviceName, key))])
  throw notFound()
}

const refused = ({ filename }: BlobRow, why: string, cause?: unknown): InvalidInputError =>
  new InvalidInputError(why, {
    cause,
    details: { filename },
    publicMessage: `${fileText({ filename })} is not what was announced: it changed while it was sent. Choose it again.`,
  })
