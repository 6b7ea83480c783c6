import { types } from 'node:util'
import {
  ActiveStorageError,
  FileNotFoundError,
  IntegrityError,
  InvalidInputError,
  ServiceError,
  ServiceUnavailableError,
} from '../errors/errors.ts'
import { isUnreachableError } from './outages.ts'

/**
 * Names of errors that ask for fewer requests, or that the SDK gives a connection which does not
 * open in time.
 */
const outageNames: ReadonlySet<string> = new Set([
  'RequestLimitExceeded',
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TimeoutError',
  'TooManyRequestsException',
])

/** An error of the SDK, as far as it can be read. */
interface AwsError {
  readonly error: unknown
  readonly name: string
  readonly status: number | undefined
  readonly text: string
}

/**
 * Turns an error of the SDK into one of the library, by its name and HTTP status. Errors of the
 * library stay as they are.
 */
export function toServiceError(error: unknown, bucket: string, key: string): Error {
  if (error instanceof ActiveStorageError) return error
  const read = readAwsError(error)
  const { name, status, text } = read
  const cause = { cause: error }
  if (name === 'NoSuchKey' || name === 'NotFound' || (status === 404 && name !== 'NoSuchBucket'))
    return new FileNotFoundError(`There is no object ${key} in the bucket ${bucket}.`, cause)
  if (name === 'BadDigest' || name === 'InvalidDigest')
    return new IntegrityError(
      `${key}: the bytes that reached the bucket ${bucket} differ from those that were sent. Nothing was stored.`,
      cause,
    )
  if (name === 'InvalidRange' || status === 416)
    return new InvalidInputError(
      `The range of ${key} begins after the last byte of the object in the bucket ${bucket}.`,
      cause,
    )
  if (isBucketOutage(read))
    return new ServiceUnavailableError(
      `The bucket ${bucket} cannot be reached or is overloaded, for ${key}: ${text}.`,
      cause,
    )
  return new ServiceError(
    `The bucket ${bucket} failed for ${key}: ${text}. ${toS3Advice(read)}`.trim(),
    cause,
  )
}

function readAwsError(error: unknown): AwsError {
  const { name, $metadata }: Readonly<Record<string, unknown>> = Object(error)
  const nameText = typeof name === 'string' ? name : ''
  const { httpStatusCode }: Readonly<Record<string, unknown>> = Object($metadata)
  const message = types.isNativeError(error) ? error.message : ''
  return {
    error,
    name: nameText,
    status: typeof httpStatusCode === 'number' ? httpStatusCode : undefined,
    text: message === '' ? nameText : message,
  }
}

/**
 * Returns true when the whole service is not reached, fails, or asks for fewer requests. 501 is a
 * feature that it lacks.
 */
function isBucketOutage({ error, name, status }: AwsError): boolean {
  return (
    isUnreachableError(error) ||
    outageNames.has(name) ||
    status === 429 ||
    (status !== undefined && status >= 500 && status !== 501)
  )
}

function toS3Advice({ name, status }: AwsError): string {
  if (name === 'NoSuchBucket') return 'Create the bucket, or check its name and region.'
  if (status === 403) return 'Check the credentials and their permissions.'
  if (name === 'CredentialsProviderError')
    return 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass credentials.'
  return ''
}
