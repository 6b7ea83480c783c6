import { insertBlob, type BlobRow } from '../blobs/blob-rows.ts'
import { contentDisposition } from '../blobs/content-disposition.ts'
import { announcedType, otherTrackType } from '../blobs/content-type.ts'
import { normalizeFilename } from '../blobs/filename.ts'
import { generateKey, prefixed } from '../blobs/key.ts'
import { announceObject } from '../blobs/object-intents.ts'
import { storableFilename, storableKey } from '../blobs/storable.ts'
import { served } from '../blobs/serving.ts'
import { InvalidInputError, type ErrorDetails } from '../errors.ts'
import { messageOf } from '../message.ts'
import { checkSize, checkType, isAccepted, type Limits } from '../staging/limits.ts'
import { serviceOf, type AttachedContext } from './context.ts'
import { diskUploadPath } from './paths.ts'

/** A file that a browser will send to the service by itself. */
export interface Announced {
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
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/** Seconds, as Rails' `service_urls_expire_in`. */
const EXPIRES = 300
/** Rails trusts these: a browser that sets them would have its file never looked at. */
const RESERVED = ['identified', 'analyzed', 'composed']

/**
 * Rails' `create_before_direct_upload!`: the blob's row comes first, the bytes come from the browser; that they are there,
 * and what they are, is looked at when the blob is attached.
 */
export async function announce(
  context: AttachedContext,
  serviceName: string,
  file: Announced,
  {
    limits,
    keyPrefix,
    name,
  }: {
    readonly limits: Limits
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
  const told = announcedType(asked, file.contentType)
  checkSize(byteSize, limits, details)
  // What nobody tells is looked at when the blob is attached.
  if (told !== null && !mayBeOther(told, limits)) checkType(told, limits, details)
  const contentType = told ?? 'application/octet-stream'
  const metadata = Object.fromEntries(
    Object.entries(file.metadata ?? {}).filter(([key]) => !RESERVED.includes(key)),
  )
  checkJson(metadata, asked, details)
  const service = serviceOf(context, serviceName)
  const { session, transact } = await context.store()
  const filename = await storableFilename(session, asked, (message) =>
    context.report('warn', message, details),
  )
  const key = await storableKey(session, prefixed(keyPrefix, generateKey()))
  const blob = await transact(async (own) => {
    await announceObject(own, serviceName, key, EXPIRES * 1000)
    return insertBlob(
      own,
      { key, filename, contentType, serviceName, byteSize, checksum },
      metadata,
    )
  })
  const { contentType: shown, mayBeInline } = served(contentType)
  const target = await service.urlForDirectUpload(key, {
    expiresIn: EXPIRES,
    byteSize,
    checksum,
    contentType: shown,
    disposition: contentDisposition(mayBeInline ? 'inline' : 'attachment', filename),
  })
  if (target !== null) return { blob, ...target }
  const url = diskUploadPath(context, blob, new Date(Date.now() + EXPIRES * 1000))
  return { blob, url, headers: { 'Content-Type': contentType } }
}

/** A name does not tell a film from sound alone; the bytes do, when the blob is attached. */
function mayBeOther(contentType: string, { accept }: Limits): boolean {
  const other = otherTrackType(contentType)
  return other !== null && accept !== undefined && isAccepted(other, accept)
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
