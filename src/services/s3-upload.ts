import { Readable } from 'node:stream'
import { ServiceUnavailableError } from '../errors/errors.ts'
import type { S3Bucket, S3Connection } from './s3-bucket.ts'
import { sendParts } from './s3-parts.ts'
import type { UploadOptions } from './service.ts'
import { splitIntoParts } from './split-into-parts.ts'
import { verifyBytes } from './verify-bytes.ts'

/** S3 allows 10,000 parts. */
const MAX_PARTS = 9_000
/** Bytes that wait between the body and the request. */
const UPLOAD_BUFFER_BYTES = 256 * 1024

/**
 * Sends an object in one PUT with its MD5, or in parts when it is larger than `multipartThreshold`.
 */
export async function uploadObject(
  bucket: S3Bucket,
  connection: S3Connection,
  key: string,
  body: AsyncIterable<Uint8Array>,
  options: UploadOptions,
): Promise<void> {
  const target = bucket.locate(key)
  const bytes = verifyBytes(key, body, options)
  if (options.byteSize > bucket.settings.multipartThreshold)
    return uploadParts(bucket, connection, key, bytes, options)
  const { sdk, client } = connection
  const { byteSize, checksum, signal } = options
  let bodyError: unknown
  const bodyFailed = new AbortController()
  // The SDK does not listen to errors of its input stream, so they abort the request here.
  const Body = Readable.from(bytes, { objectMode: false, highWaterMark: UPLOAD_BUFFER_BYTES }).on(
    'error',
    (error) => {
      bodyError ??= error
      bodyFailed.abort(error)
    },
  )
  const command = new sdk.PutObjectCommand({
    ...target,
    ...bucket.storedHeaders(options),
    Body,
    ContentLength: byteSize,
    ContentMD5: checksum,
  })
  const abortSignal = AbortSignal.any([
    bodyFailed.signal,
    ...(signal === undefined ? [] : [signal]),
  ])
  try {
    await client.send(command, { abortSignal })
  } catch (error) {
    throw bodyError ?? error
  } finally {
    Body.destroy()
  }
}

/** Sends an object in parts, whatever its size. `byteSize` may be missing where it is not known. */
export function uploadParts(
  bucket: S3Bucket,
  connection: S3Connection,
  key: string,
  bytes: AsyncIterable<Uint8Array>,
  options: Partial<UploadOptions>,
): Promise<void> {
  const { byteSize = 0 } = options
  const partSize = Math.max(bucket.settings.partSize, Math.ceil(byteSize / MAX_PARTS))
  return sendParts(
    connection,
    { ...bucket.locate(key), ...bucket.storedHeaders(options) },
    splitIntoParts(bytes, partSize),
    {
      ...options,
      isTransient: (error) => bucket.toError(key, error) instanceof ServiceUnavailableError,
    },
  )
}
