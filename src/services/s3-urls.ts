import { ConfigurationError } from '../errors/errors.ts'
import { requireVersion } from '../options/require-version.ts'
import type { S3Bucket, S3Connection } from './s3-bucket.ts'
import type { DirectUploadOptions, ServiceUrlOptions } from './service.ts'

/*
 * The presigner takes no signal. It may last, because it asks for credentials: the caller stops
 * waiting for it when its signal aborts.
 */

/** Signs a URL to read an object. A public bucket's URL has no signature and never expires. */
export async function signUrl(
  bucket: S3Bucket,
  { sdk, client }: S3Connection,
  key: string,
  { expiresIn, disposition, contentType }: ServiceUrlOptions,
): Promise<string> {
  const getSignedUrl = await loadPresigner()
  const target = bucket.locate(key)
  if (bucket.settings.public === true) {
    const signed = await getSignedUrl(client, new sdk.GetObjectCommand(target), { expiresIn })
    return signed.replace(/\?.*$/, '')
  }
  const command = new sdk.GetObjectCommand({
    ...target,
    ResponseContentDisposition: disposition,
    ResponseContentType: contentType,
  })
  return getSignedUrl(client, command, { expiresIn })
}

/** Members of a PUT's input and the headers that the SDK sends for them. */
const putHeaders = [
  ['ContentType', 'Content-Type'],
  ['ContentMD5', 'Content-MD5'],
  ['ContentDisposition', 'Content-Disposition'],
  ['CacheControl', 'Cache-Control'],
  ['StorageClass', 'x-amz-storage-class'],
  ['ServerSideEncryption', 'x-amz-server-side-encryption'],
  ['SSEKMSKeyId', 'x-amz-server-side-encryption-aws-kms-key-id'],
  ['ACL', 'x-amz-acl'],
] as const

/** Signs a URL to PUT an object, and returns it with the headers that the browser must send. */
export async function signDirectUpload(
  bucket: S3Bucket,
  { sdk, client }: S3Connection,
  key: string,
  { expiresIn, byteSize, checksum, contentType, disposition }: DirectUploadOptions,
): Promise<{ url: string; headers: Record<string, string> }> {
  const getSignedUrl = await loadPresigner()
  const input = {
    ...bucket.storedHeaders(
      disposition === undefined ? { contentType } : { contentType, disposition },
    ),
    ContentMD5: checksum,
  }
  const command = new sdk.PutObjectCommand({
    ...bucket.locate(key),
    ...input,
    ContentLength: byteSize,
  })
  const headers: Record<string, string> = {}
  for (const [member, name] of putHeaders) {
    const value = input[member]
    if (value !== undefined) headers[name] = value
  }
  // A browser could change a header that is not signed, and store a photo as text/html.
  const signableHeaders = new Set(
    ['Content-Length', ...Object.keys(headers)].map((name) => name.toLowerCase()),
  )
  const url = await getSignedUrl(client, command, {
    expiresIn,
    signableHeaders,
    unhoistableHeaders: signableHeaders,
  })
  return { url, headers }
}

async function loadPresigner() {
  const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner').catch((error: unknown) => {
    throw new ConfigurationError(
      'URLs of s3 need the presigner: npm install @aws-sdk/s3-request-presigner.',
      { cause: error },
    )
  })
  requireVersion('s3()', '@aws-sdk/s3-request-presigner', '3.700.0')
  return getSignedUrl
}
