import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServiceError } from '../errors/errors.ts'
import { toServiceError } from './s3-errors.ts'

const failure = (name: string, httpStatusCode?: number): Error =>
  Object.assign(new Error(`${name} happened`), { name, $metadata: { httpStatusCode } })

test('the name and status of an SDK error choose the error', () => {
  const cases = [
    ['NoSuchKey', 404, 'FILE_NOT_FOUND'],
    ['NotFound', 404, 'FILE_NOT_FOUND'],
    ['NoSuchBucket', 404, 'SERVICE'],
    ['InvalidRange', 416, 'INVALID_INPUT'],
    ['Unknown', 416, 'INVALID_INPUT'],
    ['BadDigest', 400, 'INTEGRITY'],
    ['SlowDown', 503, 'SERVICE_UNAVAILABLE'],
    ['TimeoutError', undefined, 'SERVICE_UNAVAILABLE'],
    ['TooManyRequestsException', 429, 'SERVICE_UNAVAILABLE'],
    ['InternalError', 500, 'SERVICE_UNAVAILABLE'],
    ['NotImplemented', 501, 'SERVICE'],
    ['AccessDenied', 403, 'SERVICE'],
  ] as const
  for (const [name, status, code] of cases) {
    const error = toServiceError(failure(name, status), 'bucket', 'key')
    assert.equal('code' in error && error.code, code, name)
    assert.match(error.message, /bucket/)
  }
})

test('an error of ours stays as it is, and a thrown text is a ServiceError', () => {
  const own = new ServiceError('own')
  assert.equal(toServiceError(own, 'bucket', 'key'), own)
  assert.ok(toServiceError('thrown', 'bucket', 'key') instanceof ServiceError)
  assert.ok(toServiceError(null, 'bucket', 'key') instanceof ServiceError)
})
