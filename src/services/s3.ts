import { addAbortSignal, Readable } from 'node:stream'
import type { PutObjectCommandInput } from '@aws-sdk/client-s3'
import {
  ConfigurationError,
  FileNotFoundError,
  InvalidInputError,
  ServiceUnavailableError,
} from '../errors/errors.ts'
import { requireVersion } from '../options/require-version.ts'
import { parseDuration, parseSize } from '../options/units.ts'
import { checkKey } from './object-key.ts'
import { splitIntoParts as partsOf } from './split-into-parts.ts'
import { checkRange } from './range.ts'
import { toServiceError } from './s3-errors.ts'
import { sendParts, type S3Connection } from './s3-parts.ts'
import { checkS3Options, type S3Options } from './s3-options.ts'
import type { Service, UploadOptions } from './service.ts'
import { verifyBytes } from './verify-bytes.ts'

export type { S3Options } from './s3-options.ts'

const MIN_PART_BYTES = 5 * 1024 ** 2
const MAX_PARTS = 9_000

/**
 * Amazon S3 and what speaks its protocol, by `@aws-sdk/client-s3` (and `@aws-sdk/s3-request-presigner` for URLs), which
 * are loaded on first use. An object is one PUT with Content-MD5, or parts with one each; a transfer that fails leaves
 * nothing. Rails' S3 service with the same bucket and prefix finds the same objects.
 * Throws ConfigurationError on wrong options.
 */
export function s3(options: S3Options): Service {
  checkS3Options(options)
  const threshold = parseSize(options.multipartThreshold ?? '100 MB', 's3: multipartThreshold')
  const partSize = parseSize(options.partSize ?? '16 MB', 's3: partSize')
  const connectTimeout = parseDuration(options.connectTimeout ?? '10s', 's3: connectTimeout')
  if (partSize < MIN_PART_BYTES) throw new ConfigurationError('s3: partSize is at least 5 MB.')
  const { bucket: Bucket, prefix } = options
  const base = prefix === undefined || prefix === '' ? '' : `${prefix.replace(/\/+$/, '')}/`
  const keyOf = (key: string): string => {
    checkKey(key)
    return base + key
  }
  let connected: Promise<S3Connection> | undefined
  const connect = (): Promise<S3Connection> =>
    (connected ??= loadClient(options, connectTimeout).catch((error: unknown) => {
      connected = undefined
      throw error
    }))
  const call = async <T>(
    key: string,
    run: (connected: S3Connection) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> => {
    try {
      return await run(await connect())
    } catch (error) {
      signal?.throwIfAborted()
      throw toServiceError(error, Bucket, key)
    }
  }
  const written = ({
    contentType,
    disposition,
  }: Partial<UploadOptions>): Omit<PutObjectCommandInput, 'Bucket' | 'Key' | 'Body'> =>
    omitUndefined({
      ContentType: contentType,
      ContentDisposition: disposition,
      CacheControl: options.cacheControl,
      StorageClass: options.storageClass,
      ServerSideEncryption: options.serverSideEncryption,
      SSEKMSKeyId: options.kmsKeyId,
      ACL: options.acl,
    })

  const uploadParts = async (
    key: string,
    body: AsyncIterable<Uint8Array>,
    size: number,
    given: Partial<UploadOptions>,
  ): Promise<void> =>
    sendParts(
      await connect(),
      { Bucket, Key: keyOf(key), ...written(given) },
      partsOf(body, Math.max(partSize, Math.ceil(size / MAX_PARTS))),
      {
        ...given,
        isTransient: (error) =>
          toServiceError(error, Bucket, key) instanceof ServiceUnavailableError,
      },
    )
  const service: Service = {
    upload: (key, body, given) =>
      call(
        key,
        async ({ sdk, client }) => {
          const Key = keyOf(key)
          const bytes = verifyBytes(key, body, given)
          if (given.byteSize > threshold) return uploadParts(key, bytes, given.byteSize, given)
          let failure: unknown
          const broken = new AbortController()
          // The client neither listens to its stream's errors nor ends its request with them.
          const Body = Readable.from(bytes, { objectMode: false, highWaterMark: 262_144 }).on(
            'error',
            (error) => {
              failure ??= error
              broken.abort(error)
            },
          )
          const { byteSize: ContentLength, checksum: ContentMD5, signal } = given
          const command = new sdk.PutObjectCommand({
            Bucket,
            Key,
            Body,
            ContentLength,
            ContentMD5,
            ...written(given),
          })
          const abortSignal = AbortSignal.any([
            broken.signal,
            ...(signal === undefined ? [] : [signal]),
          ])
          try {
            await client.send(command, { abortSignal })
          } catch (error) {
            throw failure ?? error
          } finally {
            Body.destroy()
          }
        },
        given.signal,
      ),
    download: (key, { range, signal } = {}) =>
      call(
        key,
        async ({ sdk, client }) => {
          checkRange(key, range)
          const Range = range === undefined ? undefined : `bytes=${range[0]}-${range[1]}`
          const { Body } = await client.send(
            new sdk.GetObjectCommand(omitUndefined({ Bucket, Key: keyOf(key), Range })),
            signal === undefined ? {} : { abortSignal: signal },
          )
          // Once it flows, the client hears the signal no more.
          if (signal !== undefined) addAbortSignal(signal, Body as Readable)
          return readBody(Body as Readable, (error) => toServiceError(error, Bucket, key))
        },
        signal,
      ),
    async delete(key, { signal } = {}) {
      await call(
        key,
        ({ sdk, client }) =>
          client.send(
            new sdk.DeleteObjectCommand({ Bucket, Key: keyOf(key) }),
            signal === undefined ? {} : { abortSignal: signal },
          ),
        signal,
      )
    },
    async deletePrefixed(given, { signal } = {}) {
      if (given === '') throw new InvalidInputError('An empty prefix would delete every object.')
      checkKey(given.replace(/\/$/, ''))
      const abort = signal === undefined ? {} : { abortSignal: signal }
      await call(
        given,
        async ({ sdk, client }) => {
          for (;;) {
            const { Contents = [], IsTruncated } = await client.send(
              new sdk.ListObjectsV2Command({ Bucket, Prefix: base + given }),
              abort,
            )
            await Promise.all(
              Contents.map(({ Key }) =>
                client.send(new sdk.DeleteObjectCommand({ Bucket, Key }), abort),
              ),
            )
            if (IsTruncated !== true) return
          }
        },
        signal,
      )
    },
    exists: async (key, { signal } = {}) =>
      call(
        key,
        ({ sdk, client }) =>
          client
            .send(
              new sdk.HeadObjectCommand({ Bucket, Key: keyOf(key) }),
              signal === undefined ? {} : { abortSignal: signal },
            )
            .then(() => true),
        signal,
      ).catch((error: unknown) => {
        if (error instanceof FileNotFoundError) return false
        throw error
      }),
    compose: (sources, key, given = {}) =>
      call(key, async () => {
        const joined = async function* (): AsyncGenerator<Uint8Array> {
          for (const source of sources)
            yield* await service.download(
              source,
              given.signal === undefined ? {} : { signal: given.signal },
            )
        }
        await uploadParts(key, joined(), 0, given)
      }),
    async copy(source, key, { signal } = {}) {
      await call(
        source,
        ({ sdk, client }) =>
          client.send(
            new sdk.CopyObjectCommand({
              Bucket,
              Key: keyOf(key),
              CopySource: `${Bucket}/${keyOf(source).split('/').map(encodeURIComponent).join('/')}`,
            }),
            signal === undefined ? {} : { abortSignal: signal },
          ),
        signal,
      )
    },
    url: (key, { expiresIn, disposition, contentType }) =>
      call(key, async ({ sdk, client }) => {
        const command = new sdk.GetObjectCommand({
          Bucket,
          Key: keyOf(key),
          ResponseContentDisposition: disposition,
          ResponseContentType: contentType,
        })
        const signed = await (
          await loadPresigner()
        )(
          client,
          options.public === true ? new sdk.GetObjectCommand({ Bucket, Key: keyOf(key) }) : command,
          { expiresIn },
        )
        return options.public === true ? signed.replace(/\?.*$/, '') : signed
      }),
    urlForDirectUpload: (key, { expiresIn, byteSize, checksum, contentType, disposition }) =>
      call(key, async ({ sdk, client }) => {
        const command = new sdk.PutObjectCommand({
          Bucket,
          Key: keyOf(key),
          ContentType: contentType,
          ContentMD5: checksum,
          ContentLength: byteSize,
          ...omitUndefined({ ContentDisposition: disposition }),
        })
        // What is not signed, the browser may change: without this a photo could be stored as text/html.
        const signableHeaders = new Set([
          'content-type',
          'content-md5',
          'content-length',
          ...(disposition === undefined ? [] : ['content-disposition']),
        ])
        const url = await (
          await loadPresigner()
        )(client, command, { expiresIn, signableHeaders, unhoistableHeaders: signableHeaders })
        return {
          url,
          headers: {
            'Content-Type': contentType,
            'Content-MD5': checksum,
            ...omitUndefined({ 'Content-Disposition': disposition }),
          },
        }
      }),
  }
  return service
}

async function loadClient(options: S3Options, connectionTimeout: number): Promise<S3Connection> {
  const sdk = await import('@aws-sdk/client-s3').catch((error: unknown) => {
    throw new ConfigurationError(
      's3 needs the AWS SDK: npm install @aws-sdk/client-s3 @aws-sdk/s3-request-presigner.',
      { cause: error },
    )
  })
  requireVersion('s3()', '@aws-sdk/client-s3', '3.700.0')
  const { endpoint, credentials } = options
  const region = options.region ?? (endpoint === undefined ? undefined : 'us-east-1')
  const client = new sdk.S3Client({
    ...omitUndefined({ endpoint, region, credentials }),
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    // Older servers refuse the checksums that the SDK adds by default; Content-MD5 is checked by all.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout },
    // The SDK's own writes to the console; what fails is thrown, and reported by whoever retries it.
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  })
  return { sdk, client }
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

function omitUndefined<T extends object>(given: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}

async function* readBody(
  body: Readable,
  tell: (error: unknown) => Error,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) yield chunk as Uint8Array
  } catch (error) {
    throw tell(error)
  }
}
