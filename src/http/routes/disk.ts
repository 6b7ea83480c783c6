import { readToken } from '../../attached/signed-tokens.ts'
import { findBlob, type BlobRow } from '../../blobs/blob-rows.ts'
import { deleteObjectLater } from '../../blobs/object-intents.ts'
import { stripParameters } from '../../blobs/type-names.ts'
import { type StorageContext, requireService } from '../../attached/context.ts'
import { ActiveStorageError, InvalidInputError } from '../../errors/errors.ts'
import { formatFile } from '../../errors/public-message.ts'
import { respond, HttpResponseError, respondError, notFound } from '../responses.ts'
import { assertBlobAllowed } from '../authorize.ts'
import { blobContent } from './blobs.ts'
import { readBodyBytes } from '../request-body.ts'
import { serveContent } from '../serve-content.ts'
import type { Params } from '../router.ts'

// Rails' routes of the disk service: a token says what is served or stored, and for how long.

async function findBlobByKey(context: StorageContext, key: string): Promise<BlobRow | null> {
  return findBlob((await context.store()).session, { key })
}

export async function showDisk(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const signed = readToken(context, 'disk', token)
  if (signed === null) throw notFound()
  const {
    key,
    disposition,
    content_type: contentType,
    service_name: serviceName,
  } = signed.value as Record<string, string>
  if (key === undefined || serviceName === undefined || context.services[serviceName] === undefined)
    throw notFound()
  const row = await findBlobByKey(context, key)
  if (row !== null) await assertBlobAllowed(context, request, 'read', row)
  const service = requireService(context, serviceName)
  return serveContent(request, {
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
      : blobContent(context, row)),
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
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const signed = readToken(context, 'diskUpload', token)
  if (signed === null) throw notFound()
  const value = signed.value as Record<string, unknown>
  const {
    key,
    content_type: contentType,
    content_length: byteSize,
    checksum,
    service_name: serviceName,
  } = value
  const service = context.services[String(serviceName)]
  const row = typeof key === 'string' ? await findBlobByKey(context, key) : null
  if (service === undefined || row === null || row.serviceName !== serviceName) throw notFound()
  await assertBlobAllowed(context, request, 'upload', row)
  // Browsers add a charset to what they were told to send.
  if (
    stripParameters(request.headers.get('content-type')) !==
    stripParameters(String(contentType ?? 'application/octet-stream'))
  )
    throw announcementMismatch(
      row,
      `The Content-Type is not ${String(contentType)}, which was announced.`,
    )
  const length = request.headers.get('content-length')
  if (length !== null && Number(length) !== byteSize)
    throw announcementMismatch(
      row,
      `${length} bytes are not the ${String(byteSize)} that were announced.`,
    )
  if (await service.exists(row.key))
    throw new HttpResponseError(
      respondError(409, `${formatFile(row)} was uploaded already.`, 'ALREADY_UPLOADED'),
    )
  try {
    await service.upload(row.key, readBodyBytes(request, { filename: row.filename }), {
      byteSize: Number(byteSize),
      checksum: String(checksum),
      contentType: String(contentType),
    })
  } catch (error) {
    if (error instanceof ActiveStorageError && error.code === 'INTEGRITY')
      throw announcementMismatch(row, 'The bytes are not those that were announced.', error)
    throw error
  }
  await deleteIfPurged(context, row)
  return respond(204, { 'Cache-Control': 'no-store' })
}

/** Throws the answer 404 where the blob was purged while its bytes came in. */
async function deleteIfPurged(
  context: StorageContext,
  { id, serviceName, key }: BlobRow,
): Promise<void> {
  const { session, transact } = await context.store()
  if ((await findBlob(session, { id })) !== null) return
  await context.deleteObjectsNow([
    await transact((own) => deleteObjectLater(own, serviceName, key)),
  ])
  throw notFound()
}

const announcementMismatch = (
  { filename }: BlobRow,
  why: string,
  cause?: unknown,
): InvalidInputError =>
  new InvalidInputError(why, {
    cause,
    details: { filename },
    publicMessage: `${formatFile({ filename })} is not what was announced: it changed while it was sent. Choose it again.`,
  })
