import type { PutObjectCommandInput, S3ClientConfig } from '@aws-sdk/client-s3'
import { ConfigurationError } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'
import { checkOptions } from '../options/check-options.ts'
import { parseDuration, parseSize, type Duration, type Size } from '../options/units.ts'

/** Options of `s3`. */
export interface S3Options {
  /** Name of a bucket that exists. */
  readonly bucket: string
  /** Default: the usual chain (AWS_REGION, profile); 'us-east-1' with an endpoint. */
  readonly region?: string
  /** URL of an S3-compatible server (MinIO, Ceph, R2, Spaces …). Default: AWS. */
  readonly endpoint?: string
  /**
   * true: `https://endpoint/bucket/key`; false: `https://bucket.endpoint/key`. Default: true with
   * an endpoint.
   */
  readonly forcePathStyle?: boolean
  /** Default: the usual chain (environment, profile, container, instance). */
  readonly credentials?: S3ClientConfig['credentials']
  /** Put before every key, with a `/` between. Default: nothing. */
  readonly prefix?: string
  /**
   * true: `url` returns plain URLs that never expire. The bucket's policy must allow reading.
   * Default false.
   */
  readonly public?: boolean
  /** Larger objects are sent in parts. Default '100 MB', at most '5 GB'. */
  readonly multipartThreshold?: Size
  /**
   * Size of a part; two are in memory at once. Default '16 MB', at least '5 MB'; larger for objects
   * above 144 GB.
   */
  readonly partSize?: Size
  /** Storage class such as 'STANDARD_IA'. Default: the bucket's. */
  readonly storageClass?: PutObjectCommandInput['StorageClass']
  /** 'AES256', 'aws:kms' or another of S3's names. Default: the bucket's. */
  readonly serverSideEncryption?: PutObjectCommandInput['ServerSideEncryption']
  /** Id or ARN of the key for `serverSideEncryption` 'aws:kms' or 'aws:kms:dsse'. */
  readonly kmsKeyId?: string
  /** Canned ACL such as 'public-read', for a bucket that allows ACLs. */
  readonly acl?: PutObjectCommandInput['ACL']
  /** Longest time to open a connection. Default '10s'. */
  readonly connectTimeout?: Duration
  /** Cache-Control header to store with each object. */
  readonly cacheControl?: string
}

/** Checked options of `s3` with their defaults; sizes in bytes. */
export interface S3Settings extends S3Options {
  /** Empty, or with a `/` at its end. */
  readonly prefix: string
  readonly multipartThreshold: number
  readonly partSize: number
  readonly connectTimeoutMs: number
}

const S3_OPTION_NAMES: readonly (keyof S3Options)[] = [
  'bucket',
  'region',
  'endpoint',
  'forcePathStyle',
  'credentials',
  'prefix',
  'public',
  'multipartThreshold',
  'partSize',
  'storageClass',
  'serverSideEncryption',
  'kmsKeyId',
  'acl',
  'connectTimeout',
  'cacheControl',
]

/** A copy of the SDK's list, because the SDK is not loaded before its first use. */
const encryptions: readonly S3Options['serverSideEncryption'][] = [
  'AES256',
  'aws:kms',
  'aws:kms:dsse',
  'aws:fsx',
  'aws:backup',
]

/** S3 refuses smaller parts, except the last one. */
const MIN_PART_BYTES = 5 * 1024 ** 2

/**
 * Checks the options and adds the defaults. Throws ConfigurationError on options that S3 would
 * refuse or ignore.
 */
export function readS3Options(options: S3Options): S3Settings {
  checkOptions(options, S3_OPTION_NAMES, 's3')
  const wrong = (text: string): ConfigurationError => new ConfigurationError(`s3: ${text}`)
  const { bucket, prefix = '', serverSideEncryption, kmsKeyId } = options
  if (bucket === '' || typeof bucket !== 'string') throw wrong('bucket is missing.')
  if (serverSideEncryption !== undefined && !encryptions.includes(serverSideEncryption))
    throw wrong(
      `serverSideEncryption is ${formatValue(serverSideEncryption)}: give one of ${encryptions.join(', ')}.`,
    )
  if (kmsKeyId !== undefined && serverSideEncryption?.startsWith('aws:kms') !== true)
    throw wrong("kmsKeyId needs serverSideEncryption: 'aws:kms'. Add it, or leave kmsKeyId out.")
  const partSize = parseSize(options.partSize ?? '16 MB', 's3: partSize')
  if (partSize < MIN_PART_BYTES) throw wrong('partSize is at least 5 MB.')
  return {
    ...options,
    prefix: prefix === '' ? '' : `${prefix.replace(/\/+$/, '')}/`,
    multipartThreshold: parseSize(options.multipartThreshold ?? '100 MB', 's3: multipartThreshold'),
    partSize,
    connectTimeoutMs: parseDuration(options.connectTimeout ?? '10s', 's3: connectTimeout'),
  }
}
