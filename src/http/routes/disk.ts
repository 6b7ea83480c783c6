import type { StorageContext } from '../../attached/context.ts'
import { deleteObjectIfPurged } from '../../attached/direct-upload.ts'
import { findBlobByKey } from '../../attached/lookups.ts'
import { readToken, type TokenPurpose } from '../../attached/signed-tokens.ts'
import type { BlobRow } from '../../blobs/blob-rows.ts'
import { stripParameters } from '../../blobs/type-names.ts'
import { ActiveStorageError, InvalidInputError } from '../../errors/errors.ts'
import { formatFile } from '../../errors/public-message.ts'
import type { Service } from '../../services/service.ts'
import { assertBlobAllowed } from '../authorize.ts'
import { readBodyBytes } from '../request-body.ts'
import { HttpResponseError, notFound, respond, respondError } from '../responses.ts'
import type { Params } from '../router.ts'
import { serveContent, type Content } from '../serve-content.ts'
import { blobContent } from './blobs.ts'

// Rails' routes of the disk service. A token says which object is served or stored, and until when.

/** Handles Rails' `disk#show`: sends the bytes of an object. */
export async function showDisk(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const { key, disposition, contentType, service } = readDiskToken(context, 'disk', token)
  const row = await findBlobByKey(context, key)
  if (row !== null) await assertBlobAllowed(context, request, 'read', row)
  return serveContent(request, {
    ...(row === null ? untrackedContent(service, key) : blobContent(context, row)),
    contentType: typeof contentType === 'string' ? contentType : 'application/octet-stream',
    disposition: typeof disposition === 'string' ? disposition : 'attachment',
    cacheControl: 'max-age=0, private, must-revalidate',
  })
}

/** A token of Rails' disk service, which allows one object to be read or written. */
interface DiskToken {
  readonly key: string
  readonly serviceName: string
  readonly service: Service
  readonly disposition: unknown
  readonly contentType: unknown
  readonly byteSize: unknown
  readonly checksum: unknown
}

/** Reads a token. Throws the response 404 for an invalid one, or one of an unknown service. */
function readDiskToken(context: StorageContext, purpose: TokenPurpose, token: string): DiskToken {
  const value = readToken(context, purpose, token)?.value
  if (typeof value !== 'object' || value === null) throw notFound()
  const fields: Readonly<Record<string, unknown>> = { ...value }
  const { key, service_name: serviceName } = fields
  if (typeof key !== 'string' || typeof serviceName !== 'string') throw notFound()
  const service = context.services[serviceName]
  if (service === undefined) throw notFound()
  return {
    key,
    serviceName,
    service,
    disposition: fields['disposition'],
    contentType: fields['content_type'],
    byteSize: fields['content_length'],
    checksum: fields['checksum'],
  }
}

/**
 * Returns the content of an object without a row, such as an untracked variant of Rails. Its size
 * is unknown.
 */
function untrackedContent(
  service: Service,
  key: string,
): Pick<Content, 'size' | 'etag' | 'lastModified' | 'open'> {
  return {
    size: null,
    etag: null,
    lastModified: null,
    async *open() {
      yield* await service.download(key)
    },
  }
}

/**
 * Handles Rails' `disk#update`: stores exactly the bytes that a browser announced. A token works
 * once: it fails when the object exists already, or when its blob is gone.
 */
export async function updateDisk(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const { key, serviceName, service, contentType, byteSize, checksum } = readDiskToken(
    context,
    'diskUpload',
    token,
  )
  const row = await findBlobByKey(context, key)
  if (row === null || row.serviceName !== serviceName) throw notFound()
  await assertBlobAllowed(context, request, 'upload', row)
  assertAnnouncedHeaders(request, row, contentType, byteSize)
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
  if (await deleteObjectIfPurged(context, row)) throw notFound()
  return respond(204, { 'Cache-Control': 'no-store' })
}

function assertAnnouncedHeaders(
  request: Request,
  row: BlobRow,
  contentType: unknown,
  byteSize: unknown,
): void {
  const announcedType = String(contentType ?? 'application/octet-stream')
  // Browsers add a charset to the type that the announcement gave them.
  if (stripParameters(request.headers.get('content-type')) !== stripParameters(announcedType))
    throw announcementMismatch(row, `The Content-Type is not ${announcedType}, as announced.`)
  const length = request.headers.get('content-length')
  if (length !== null && Number(length) !== byteSize)
    throw announcementMismatch(
      row,
      `The body has ${length} bytes, but ${String(byteSize)} were announced.`,
    )
}

const announcementMismatch = (
  { filename }: BlobRow,
  message: string,
  cause?: unknown,
): InvalidInputError =>
  new InvalidInputError(message, {
    cause,
    details: { filename },
    publicMessage: `${formatFile({ filename })} is not the announced file: it changed while it was sent. Choose it again.`,
  })
