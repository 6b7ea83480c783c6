import { Readable } from 'node:stream'
import { untilAborted } from '../async/until-aborted.ts'
import { FileNotFoundError, ServiceError } from '../errors/errors.ts'
import { keepBodyError } from './keep-body-error.ts'
import { checkPrefix } from './object-key.ts'
import { checkRange } from './range.ts'
import { readBody } from './read-body.ts'
import { S3Bucket, toSendOptions, type S3Connection } from './s3-bucket.ts'
import { readS3Options, type S3Options } from './s3-options.ts'
import { uploadObject, uploadParts } from './s3-upload.ts'
import { signDirectUpload, signUrl } from './s3-urls.ts'
import type { DownloadOptions, Service } from './service.ts'

export type { S3Options } from './s3-options.ts'

/**
 * Creates a service on Amazon S3 or a server with its protocol. It loads `@aws-sdk/client-s3`, and
 * for URLs `@aws-sdk/s3-request-presigner`, at first use. Rails' S3 service with the same bucket
 * and prefix finds the same objects. An object is one PUT with Content-MD5, or parts with one each;
 * a failed transfer leaves nothing behind. Throws ConfigurationError on wrong options.
 */
export function s3(options: S3Options): Service {
  const bucket = new S3Bucket(readS3Options(options))
  const service: Service = {
    public: options.public === true,
    upload: (key, body, given) =>
      keepBodyError(body, given.signal, (watched) =>
        bucket.call(key, given.signal, (connection) =>
          uploadObject(bucket, connection, key, watched, given),
        ),
      ),
    download: (key, given = {}) =>
      bucket.call(key, given.signal, (connection) =>
        downloadObject(bucket, connection, key, given),
      ),
    async delete(key, { signal } = {}) {
      await bucket.call(key, signal, ({ sdk, client }) =>
        client.send(new sdk.DeleteObjectCommand(bucket.locate(key)), toSendOptions(signal)),
      )
    },
    async exists(key, { signal } = {}) {
      try {
        await bucket.call(key, signal, ({ sdk, client }) =>
          client.send(new sdk.HeadObjectCommand(bucket.locate(key)), toSendOptions(signal)),
        )
        return true
      } catch (error) {
        if (error instanceof FileNotFoundError) return false
        throw error
      }
    },
    url: (key, given) =>
      bucket.call(key, given.signal, (connection) =>
        untilAborted(signUrl(bucket, connection, key, given), given.signal),
      ),
    urlForDirectUpload: (key, given) =>
      bucket.call(key, given.signal, (connection) =>
        untilAborted(signDirectUpload(bucket, connection, key, given), given.signal),
      ),
    async deletePrefixed(prefix, { signal } = {}) {
      checkPrefix(prefix)
      await bucket.call(prefix, signal, (connection) =>
        deletePrefixed(bucket, connection, prefix, signal),
      )
    },
    compose: (sources, key, given = {}) =>
      bucket.call(key, given.signal, (connection) => {
        const joined = async function* (): AsyncGenerator<Uint8Array> {
          const read = given.signal === undefined ? {} : { signal: given.signal }
          for (const source of sources) yield* await service.download(source, read)
        }
        return uploadParts(bucket, connection, key, joined(), given)
      }),
    async copy(source, key, { signal } = {}) {
      await bucket.call(source, signal, ({ sdk, client }) => {
        const from = bucket.locate(source)
        const CopySource = `${from.Bucket}/${from.Key.split('/').map(encodeURIComponent).join('/')}`
        const command = new sdk.CopyObjectCommand({ ...bucket.locate(key), CopySource })
        return client.send(command, toSendOptions(signal))
      })
    },
  }
  return service
}

async function downloadObject(
  bucket: S3Bucket,
  { sdk, client }: S3Connection,
  key: string,
  { range, signal }: DownloadOptions,
): Promise<AsyncIterable<Uint8Array>> {
  checkRange(key, range)
  const { Body } = await client.send(
    new sdk.GetObjectCommand({
      ...bucket.locate(key),
      Range: range === undefined ? undefined : `bytes=${range[0]}-${range[1]}`,
    }),
    toSendOptions(signal),
  )
  if (!(Body instanceof Readable))
    throw new ServiceError(`The bucket ${bucket.settings.bucket} sent no body for ${key}.`)
  return readBody(Body, signal, (error) => bucket.toError(key, error))
}

/**
 * Deletes page by page: a listing has at most 1,000 objects, and what was deleted is not listed
 * again.
 */
async function deletePrefixed(
  bucket: S3Bucket,
  { sdk, client }: S3Connection,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { bucket: Bucket, prefix: base } = bucket.settings
  const options = toSendOptions(signal)
  for (;;) {
    const { Contents = [], IsTruncated } = await client.send(
      new sdk.ListObjectsV2Command({ Bucket, Prefix: base + prefix }),
      options,
    )
    await Promise.all(
      Contents.map(({ Key }) => client.send(new sdk.DeleteObjectCommand({ Bucket, Key }), options)),
    )
    if (IsTruncated !== true) return
  }
}
