import { types } from 'node:util'
import { ActiveStorageError, FileNotFoundError, IntegrityError, ServiceError } from '../errors.ts'

interface AwsError {
  readonly name?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
}

/** By the error's name and status, which are the protocol's; what is ours already stays. */
export function told(error: unknown, bucket: string, key: string): Error {
  if (error instanceof ActiveStorageError) return error
  const { name = '', $metadata } = error as AwsError
  const status = $metadata?.httpStatusCode
  const text = types.isNativeError(error) && error.message !== '' ? error.message : name
  if (name === 'NoSuchKey' || name === 'NotFound' || (status === 404 && name !== 'NoSuchBucket'))
    return new FileNotFoundError(`There is no object ${key} in the bucket ${bucket}.`, { cause: error })
  if (name === 'BadDigest' || name === 'InvalidDigest')
    return new IntegrityError(`${key}: the bytes that reached the bucket ${bucket} are not those that were sent. Nothing was stored.`, {
      cause: error,
    })
  const advice =
    name === 'NoSuchBucket'
      ? 'Create the bucket, or look at its name and region.'
      : status === 403
        ? 'Look at the credentials and at what they may do.'
        : name === 'CredentialsProviderError'
          ? 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass credentials.'
          : ''
  return new ServiceError(`The bucket ${bucket} failed for ${key}: ${text}. ${advice}`.trim(), { cause: error })
}
