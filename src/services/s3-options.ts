import type { PutObjectCommandInput, S3ClientConfig } from '@aws-sdk/client-s3'
import { ConfigurationError } from '../errors/errors.ts'
import { checkOptions } from '../options/check-options.ts'
import type { Duration, Size } from '../options/units.ts'

/** Of `s3`. */
export interface S3Options {
  /** It must exist. */
  readonly bucket: string
  /** Default: the usual chain (AWS_REGION, profile); 'us-east-1' where an endpoint is given. */
  readonly region?: string
  /** Of an S3-compatible server (MinIO, Ceph, R2, Spaces …). Default: AWS. */
  readonly endpoint?: string
  /** `https://endpoint/bucket/key` instead of `https://bucket.endpoint/key`. Default: true where an endpoint is given. */
  readonly forcePathStyle?: boolean
  /** Default: the usual chain (environment, profile, container, instance). */
  readonly credentials?: S3ClientConfig['credentials']
  /** Comes before every key, with `/`. */
  readonly prefix?: string
  /** true: `url` gives plain URLs that never expire. The bucket's policy must allow reading. Default false. */
  readonly public?: boolean
  /** Above it, objects are sent in parts. Default '100 MB'; at most 5 GB. */
  readonly multipartThreshold?: Size
  /** Of one part; two are in memory at once. Default '16 MB', at least '5 MB'; larger for objects above 144 GB. */
  readonly partSize?: Size
  /** Such as 'STANDARD_IA'. Default: the bucket's. */
  readonly storageClass?: PutObjectCommandInput['StorageClass']
  /** 'AES256', 'aws:kms' or another of S3's names. Default: the bucket's. */
  readonly serverSideEncryption?: PutObjectCommandInput['ServerSideEncryption']
  /** With `serverSideEncryption` 'aws:kms' or 'aws:kms:dsse'. */
  readonly kmsKeyId?: string
  /** A canned ACL such as 'public-read', where the bucket allows ACLs. */
  readonly acl?: PutObjectCommandInput['ACL']
  /** How long a connection may take to be made. Default '10s'. */
  readonly connectTimeout?: Duration
  /** Stored with each object. */
  readonly cacheControl?: string
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

/** The SDK has them too, but it is not loaded before it is needed. */
const encryptions: readonly S3Options['serverSideEncryption'][] = [
  'AES256',
  'aws:kms',
  'aws:kms:dsse',
  'aws:fsx',
  'aws:backup',
]

/** Throws ConfigurationError on what S3 would refuse, or pass over, with the first file. */
export function checkS3Options(options: S3Options): void {
  checkOptions(options, S3_OPTION_NAMES, 's3')
  const { bucket, serverSideEncryption, kmsKeyId } = options
  const wrong = (text: string): ConfigurationError => new ConfigurationError(`s3: ${text}`)
  if (bucket === '' || typeof bucket !== 'string') throw wrong('bucket is missing.')
  if (serverSideEncryption !== undefined && !encryptions.includes(serverSideEncryption))
    throw wrong(
      `serverSideEncryption is '${String(serverSideEncryption)}', which is none of ${encryptions.join(', ')}.`,
    )
  if (kmsKeyId !== undefined && serverSideEncryption?.startsWith('aws:kms') !== true)
    throw wrong("kmsKeyId is for serverSideEncryption: 'aws:kms'. Add that, or leave the key out.")
}
