import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3'
import { openOnce } from '../async/open-once.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { requireVersion } from '../options/require-version.ts'
import { checkKey } from './object-key.ts'
import { toServiceError } from './s3-errors.ts'
import type { S3Settings } from './s3-options.ts'
import type { UploadOptions } from './service.ts'

/** The AWS SDK and a client, loaded at first use. */
export interface S3Connection {
  readonly sdk: typeof import('@aws-sdk/client-s3')
  readonly client: S3Client
}

/** A bucket, the connection to it, and the mapping of keys and errors. */
export class S3Bucket {
  readonly settings: S3Settings
  readonly #connect = openOnce(() => connect(this.settings))

  constructor(settings: S3Settings) {
    this.settings = settings
  }

  /** Names an object in a command's input. Throws InvalidInputError on an unsafe key. */
  locate(key: string): { readonly Bucket: string; readonly Key: string } {
    checkKey(key)
    return { Bucket: this.settings.bucket, Key: this.settings.prefix + key }
  }

  /** Headers that S3 stores with an object, as members of a command's input. */
  storedHeaders({
    contentType,
    disposition,
  }: Partial<UploadOptions>): Omit<PutObjectCommandInput, 'Bucket' | 'Key' | 'Body'> {
    return {
      ContentType: contentType,
      ContentDisposition: disposition,
      CacheControl: this.settings.cacheControl,
      StorageClass: this.settings.storageClass,
      ServerSideEncryption: this.settings.serverSideEncryption,
      SSEKMSKeyId: this.settings.kmsKeyId,
      ACL: this.settings.acl,
    }
  }

  /**
   * Runs a call and turns the SDK's errors into those of the library. An aborted signal's reason
   * comes before the SDK's error.
   */
  async call<T>(
    key: string,
    signal: AbortSignal | undefined,
    run: (connection: S3Connection) => Promise<T>,
  ): Promise<T> {
    try {
      return await run(await this.#connect())
    } catch (error) {
      signal?.throwIfAborted()
      throw this.toError(key, error)
    }
  }

  /** Turns an error of the SDK into one of the library. */
  toError(key: string, error: unknown): Error {
    return toServiceError(error, this.settings.bucket, key)
  }
}

async function connect({
  endpoint,
  region = endpoint === undefined ? undefined : 'us-east-1',
  credentials,
  forcePathStyle = endpoint !== undefined,
  connectTimeoutMs,
}: S3Settings): Promise<S3Connection> {
  const sdk = await import('@aws-sdk/client-s3').catch((error: unknown) => {
    throw new ConfigurationError(
      's3 needs the AWS SDK: npm install @aws-sdk/client-s3 @aws-sdk/s3-request-presigner.',
      { cause: error },
    )
  })
  requireVersion('s3()', '@aws-sdk/client-s3', '3.700.0')
  const client = new sdk.S3Client({
    // An option that is undefined would hide the SDK's default.
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle,
    // Older servers refuse the checksums that the SDK adds by default. All servers check
    // Content-MD5.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: connectTimeoutMs },
    // The SDK's own logger writes to the console. Failures are thrown, and logged by the code that
    // retries them.
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  })
  return { sdk, client }
}

/** Returns the options of the SDK's `send`. */
export function toSendOptions(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal }
}
