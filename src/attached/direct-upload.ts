import { findBlob, insertBlob, parseMetadata, type BlobRow } from '../blobs/blob-rows.ts'
import { toContentDisposition } from '../blobs/content-disposition.ts'
import { guessContentType, swapTrackType } from '../blobs/content-type.ts'
import { normalizeFilename } from '../blobs/filename.ts'
import { generateKey, prefixKey } from '../blobs/blob-key.ts'
import { announceObject, deleteObjectLater } from '../blobs/object-intents.ts'
import { toStorableFilename, toStorableKey } from '../blobs/storable-text.ts'
import { toSafeContentType } from '../blobs/safe-content-type.ts'
import { InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
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
  readonly contentType?: string | undefined
  /** Of the app's own; Rails' keys are left out. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
}

/** Where a browser sends it. */
export interface DirectUpload {
  readonly blob: BlobRow
  readonly metadata: Readonly<Record<string, unknown>>
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/** Seconds, as Rails' `service_urls_expire_in`. */
const URL_EXPIRES_SECONDS = 300
/** Rails trusts these: a browser that sets them would have its file never looked at. */
const RESERVED_METADATA = ['identified', 'analyzed', 'composed']

/**
 * Rails' `create_before_direct_upload!`: the blob's row comes first, the bytes come from the
 * browser; that they are there, and what they are, is looked at when the blob is attached.
 */
export async function announceDirectUpload(
  context: StorageContext,
  serviceName: string,
  file: DirectUploadFile,
  {
    limits,
    keyPrefix,
    name,
  }: {
    readonly limits: FileLimits
    readonly keyPrefix: string | undefined
    readonly name: string | undefined
  },
): Promise<DirectUpload> {
  const { byteSize, checksum } = file
  const asked = normalizeFilename(file.filename)
  const details = { filename: asked, ...(name === undefined ? {} : { attachment: name }) }
  if (asked.trim() === '')
    throw new InvalidInputError('A file to be uploaded directly needs a filename.')
  if (!Number.isSafeInteger(byteSize) || byteSize < 0)
    throw new InvalidInputError(`byte_size of ${asked} is no number of bytes.`, { details })
  if (!/^[A-Za-z0-9+/]{22}==$/.test(checksum))
    throw new InvalidInputError(`checksum of ${asked} is no base64 MD5 of 24 characters.`, {
      details,
    })
  const told = guessContentType(asked, file.contentType)
  checkFileSize(byteSize, limits, details)
  // What nobody tells is looked at when the blob is attached.
  if (told !== null && !mayBeOtherTrackType(told, limits)) checkFileType(told, limits, details)
  const contentType = told ?? 'application/octet-stream'
  const metadata = Object.fromEntries(
    Object.entries(file.metadata ?? {}).filter(([key]) => !RESERVED_METADATA.includes(key)),
  )
  checkJson(metadata, asked, details)
  const service = requireService(context, serviceName)
  const { session, transact } = await context.store()
  const filename = await toStorableFilename(session, asked, (message) =>
    context.log('warn', message, details),
  )
  const key = await toStorableKey(session, prefixKey(keyPrefix, generateKey()))
  const blob = await transact(async (own) => {
    await announceObject(own, serviceName, key, URL_EXPIRES_SECONDS * 1000)
    return insertBlob(
      own,
      { key, filename, contentType, serviceName, byteSize, checksum },
      metadata,
    )
  })
  const { contentType: shown, mayBeInline } = toSafeContentType(contentType)
  const target = await service.urlForDirectUpload(key, {
    expiresIn: URL_EXPIRES_SECONDS,
    byteSize,
    checksum,
    contentType: shown,
    disposition: toContentDisposition(mayBeInline ? 'inline' : 'attachment', filename),
  })
  if (target !== null) return { blob, metadata: parseMetadata(blob.metadata), ...target }
  const url = diskUploadPath(context, blob, new Date(Date.now() + URL_EXPIRES_SECONDS * 1000))
  return {
    blob,
    metadata: parseMetadata(blob.metadata),
    url,
    headers: { 'Content-Type': contentType },
  }
}

/** A name does not tell a film from sound alone; the bytes do, when the blob is attached. */
function mayBeOtherTrackType(contentType: string, { accept }: FileLimits): boolean {
  const other = swapTrackType(contentType)
  return other !== null && accept !== undefined && isAcceptedType(other, accept)
}

/** JSON of thousands of levels can be read but not written. */
function checkJson(metadata: object, filename: string, details: ErrorDetails): void {
  try {
    JSON.stringify(metadata)
  } catch (cause) {
    throw new InvalidInputError(
      `metadata of ${filename} cannot be written as JSON: ${messageOf(cause)}. Give plain values.`,
      {
        details,
        cause,
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
