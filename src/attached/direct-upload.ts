import { findBlob, insertBlob, parseMetadata, type BlobRow } from '../blobs/blob-rows.ts'
import { toContentDisposition } from '../blobs/content-disposition.ts'
import { guessContentType, swapTrackType } from '../blobs/content-type.ts'
import { normalizeFilename } from '../blobs/filename.ts'
import { generateKey, prefixKey } from '../blobs/blob-key.ts'
import { addIntent, deleteObjectLater } from '../blobs/object-intents.ts'
import { toStorableFilename, toStorableKey } from '../blobs/storable-text.ts'
import { toSafeContentType } from '../blobs/safe-content-type.ts'
import { InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { UNREADABLE_MESSAGE } from '../errors/public-message.ts'
import { checkFileSize, checkFileType, isAcceptedType, type FileLimits } from '../staging/limits.ts'
import { requireService, type StorageContext } from './context.ts'
import { diskUploadPath } from './paths.ts'

/** A file that a browser will send to the service by itself. */
export interface DirectUploadFile {
  readonly filename: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
  /** The type that the browser declares. undefined: none. */
  readonly contentType?: string | undefined
  /** The app's own metadata. Keys that Rails uses itself are left out. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
}

/**
 * An announced direct upload: the blob, and the URL and headers with which a browser sends its
 * bytes.
 */
export interface DirectUpload {
  readonly blob: BlobRow
  readonly metadata: Readonly<Record<string, unknown>>
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/** Seconds until the URL expires, as Rails' `service_urls_expire_in`. */
const URL_EXPIRES_SECONDS = 300
/**
 * Keys that Rails trusts: with one of them set by the browser, Rails would never check the file.
 */
const RESERVED_METADATA = ['identified', 'analyzed', 'composed']

/**
 * Implements Rails' `create_before_direct_upload!`: inserts the blob before the browser sends its
 * bytes to the service. The bytes are checked when the blob is attached. Throws InvalidInputError,
 * the errors of `limits`, and the signal's reason when it aborts. A blob that was inserted by then
 * stays, unattached.
 */
export async function announceDirectUpload(
  context: StorageContext,
  serviceName: string,
  file: DirectUploadFile,
  {
    limits,
    keyPrefix,
    name,
    signal,
  }: {
    readonly limits: FileLimits
    readonly keyPrefix: string | undefined
    /** Name of the attachment, for errors. undefined: the file is for any. */
    readonly name: string | undefined
    readonly signal: AbortSignal | undefined
  },
): Promise<DirectUpload> {
  const { byteSize, checksum } = file
  const requestedName = normalizeFilename(file.filename)
  const details = { filename: requestedName, ...(name === undefined ? {} : { attachment: name }) }
  context.verifier.assertSecret()
  assertAnnouncement({ byteSize, checksum }, requestedName, details)
  const knownType = guessContentType(requestedName, file.contentType)
  checkFileSize(byteSize, limits, details)
  // An unknown type is identified from the bytes when the blob is attached.
  if (knownType !== null && !mayBeOtherTrackType(knownType, limits))
    checkFileType(knownType, limits, details)
  const contentType = knownType ?? 'application/octet-stream'
  const metadata = Object.fromEntries(
    Object.entries(file.metadata ?? {}).filter(([key]) => !RESERVED_METADATA.includes(key)),
  )
  checkJson(metadata, requestedName, details)
  requireService(context, serviceName)
  signal?.throwIfAborted()
  const { session, transact } = await context.store()
  const filename = await toStorableFilename(session, requestedName, (message) =>
    context.log('warn', message, details),
  )
  const key = await toStorableKey(session, prefixKey(keyPrefix, generateKey()))
  const blob = await transact(async (own) => {
    await addIntent(own, serviceName, key, URL_EXPIRES_SECONDS * 1000)
    return insertBlob(
      own,
      { key, filename, contentType, serviceName, byteSize, checksum },
      metadata,
    )
  })
  const target = await signDirectUpload(context, blob, { contentType, checksum, signal })
  return { blob, metadata: parseMetadata(blob.metadata), ...target }
}

/** Throws InvalidInputError for values that no browser module announces. */
function assertAnnouncement(
  { byteSize, checksum }: Pick<DirectUploadFile, 'byteSize' | 'checksum'>,
  filename: string,
  details: ErrorDetails,
): void {
  const invalid = (message: string): InvalidInputError =>
    new InvalidInputError(message, { details, publicMessage: UNREADABLE_MESSAGE })
  if (filename.trim() === '') throw invalid('A file to be uploaded directly needs a filename.')
  if (!Number.isSafeInteger(byteSize) || byteSize < 0)
    throw invalid(`byte_size of ${filename} is no number of bytes.`)
  if (!/^[A-Za-z0-9+/]{22}==$/.test(checksum))
    throw invalid(`checksum of ${filename} is no base64 MD5 of 24 characters.`)
}

/** Signs the URL that a browser uploads a blob's bytes to, or a path of `handler`. */
async function signDirectUpload(
  context: StorageContext,
  blob: BlobRow,
  {
    contentType,
    checksum,
    signal,
  }: {
    readonly contentType: string
    readonly checksum: string
    readonly signal: AbortSignal | undefined
  },
): Promise<Pick<DirectUpload, 'url' | 'headers'>> {
  const { contentType: shown, mayBeInline } = toSafeContentType(contentType)
  const service = requireService(context, blob.serviceName)
  const target = await service.urlForDirectUpload(blob.key, {
    expiresIn: URL_EXPIRES_SECONDS,
    byteSize: blob.byteSize,
    checksum,
    contentType: shown,
    disposition: toContentDisposition(mayBeInline ? 'inline' : 'attachment', blob.filename),
    ...(signal === undefined ? {} : { signal }),
  })
  if (target !== null) return target
  const url = diskUploadPath(context, blob, new Date(Date.now() + URL_EXPIRES_SECONDS * 1000))
  return { url, headers: { 'Content-Type': contentType } }
}

/**
 * Returns whether the type with video and audio swapped is accepted. A name does not say whether a
 * file has pictures; the bytes do, when the blob is attached.
 */
function mayBeOtherTrackType(contentType: string, { accept }: FileLimits): boolean {
  const other = swapTrackType(contentType)
  return other !== null && accept !== undefined && isAcceptedType(other, accept)
}

/**
 * Throws InvalidInputError for metadata of thousands of levels: it can be read as JSON, but not
 * written.
 */
function checkJson(metadata: object, filename: string, details: ErrorDetails): void {
  try {
    JSON.stringify(metadata)
  } catch (cause) {
    throw new InvalidInputError(
      `metadata of ${filename} cannot be written as JSON: ${messageOf(cause)}. Give plain values.`,
      {
        details,
        cause,
        publicMessage: UNREADABLE_MESSAGE,
      },
    )
  }
}

/**
 * Deletes the object of a blob that was purged while its bytes came in. Returns whether it was
 * purged.
 */
export async function deleteObjectIfPurged(
  context: StorageContext,
  { id, serviceName, key }: BlobRow,
): Promise<boolean> {
  const { session, transact } = await context.store()
  if ((await findBlob(session, { id })) !== null) return false
  await context.deleteObjectsNow([
    await transact((own) => deleteObjectLater(own, serviceName, key)),
  ])
  return true
}
