import { types } from 'node:util'
import {
  ActiveStorageError,
  FileNotFoundError,
  IntegrityError,
  ServiceError,
  ServiceUnavailableError,
} from '../errors/errors.ts'
import { isUnreachableError } from './outages.ts'

interface AwsError {
  readonly name?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
}

/** What S3 and its kin say to who asks too often, and the SDK of a connection that is not made in time. */
const outageNames: ReadonlySet<string> = new Set([
  'RequestLimitExceeded',
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TimeoutError',
  'TooManyRequestsException',
])

/** The service as a whole: not reached, not in order, or asking to be slower. 501 says that it never will. */
function isBucketOutage(error: unknown, name: string, status: number | undefined): boolean {
  return (
    isUnreachableError(error) ||
    outageNames.has(name) ||
    status === 429 ||
    (status !== undefined && status >= 500 && status !== 501)
  )
}

/** By the error's name and status, which are the protocol's; what is ours already stays. */
export function toServiceError(error: unknown, bucket: string, key: string): Error {
  if (error instanceof ActiveStorageError) return error
  const { name = '', $metadata } = error as AwsError
  const status = $metadata?.httpStatusCode
  const text = types.isNativeError(error) && error.message !== '' ? error.message : name
  if (name === 'NoSuchKey' || name === 'NotFound' || (status === 404 && name !== 'NoSuchBucket'))
    return new FileNotFoundError(`There is no object ${key} in the bucket ${bucket}.`, {
      cause: error,
    })
  if (name === 'BadDigest' || name === 'InvalidDigest')
    return new IntegrityError(
      `${key}: the bytes that reached the bucket ${bucket} are not those that were sent. Nothing was stored.`,
      {
        cause: error,
      },
    )
  if (isBucketOutage(error, name, status))
    return new ServiceUnavailableError(
      `The bucket ${bucket} does not answer as it should for ${key}: ${text}.`,
      { cause: error },
    )
  const advice =
    name === 'NoSuchBucket'
      ? 'Create the bucket, or look at its name and region.'
      : status === 403
        ? 'Look at the credentials and at what they may do.'
        : name === 'CredentialsProviderError'
          ? 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass credentials.'
          : ''
  return new ServiceError(`The bucket ${bucket} failed for ${key}: ${text}. ${advice}`.trim(), {
    cause: error,
  })
}
