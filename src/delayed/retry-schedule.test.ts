import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServiceError, ServiceUnavailableError } from '../errors/errors.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { decideRetry, outageDelay, type FileFailure } from './retry-schedule.ts'

const retries = { attempts: 3, minDelay: 100, maxDelay: 1_000, for: 60_000 }
const middle = (): number => 0.5
/** Distinct by identity; nothing else of a file is read. */
const createFile = (): FileRow => ({}) as FileRow
const fail = (error: FileFailure['error']): FileFailure => ({ file: createFile(), error })
const own = (): FileFailure => fail(new ServiceError('The disk is full.'))
const outage = (): FileFailure => fail(new ServiceUnavailableError('Nothing answers.'))

test("a file's own error is retried until no attempt is left", () => {
  const failure = own()
  const decide = (attempts: number) =>
    decideRetry(retries, [failure], { attempts, since: 0, now: 5_000 }, middle)
  assert.deepEqual(decide(2), {
    final: new Set(),
    isRetried: true,
    delay: 200,
    isCounted: true,
    unavailableSince: 0,
  })
  assert.deepEqual(decide(3), {
    final: new Set([failure.file]),
    isRetried: false,
    delay: 0,
    isCounted: true,
    unavailableSince: 0,
  })
})

test('an error that is not retryable is final at once, and leaves other files their retry', () => {
  const final = fail(Object.assign(new ServiceError('Refused.'), { retryable: false }))
  const decision = decideRetry(retries, [final, own()], { attempts: 1, since: 0, now: 0 }, middle)
  assert.deepEqual(decision.final, new Set([final.file]))
  assert.equal(decision.isRetried, true)
})

test('an outage counts no attempt, and is final when it has lasted for retries.for', () => {
  const failure = outage()
  const decide = (since: number, now: number) =>
    decideRetry(retries, [failure], { attempts: 99, since, now }, middle)
  assert.deepEqual(decide(0, 5_000), {
    final: new Set(),
    isRetried: true,
    delay: 88,
    isCounted: false,
    unavailableSince: 5_000,
  })
  assert.equal(decide(5_000, 64_999).isRetried, true)
  assert.deepEqual(decide(5_000, 65_000), {
    final: new Set([failure.file]),
    isRetried: false,
    delay: 0,
    isCounted: false,
    unavailableSince: 5_000,
  })
})

test('an outage beside an own error counts the attempt, and keeps its begin', () => {
  const times = { attempts: 1, since: 1_000, now: 5_000 }
  const decision = decideRetry(retries, [outage(), own()], times, middle)
  assert.deepEqual([decision.isCounted, decision.unavailableSince], [true, 1_000])
})

test('delays double from minDelay to maxDelay, a quarter up or down', () => {
  const delays = (random: number) =>
    [1, 2, 3, 4, 5].map((attempts) => {
      const times = { attempts, since: 0, now: 0 }
      return decideRetry({ ...retries, attempts: 9 }, [own()], times, () => random).delay
    })
  assert.deepEqual(delays(0), [75, 150, 300, 600, 750])
  assert.deepEqual(delays(0.5), [100, 200, 400, 800, 1_000])
  assert.deepEqual(delays(1), [125, 250, 500, 1_000, 1_250])
})

test('the delay of an outage is as long as the outage, within limits, less up to a quarter', () => {
  const delays = (maxDelay: number, random: number) =>
    [0, 400, 2_000, 1e9].map((elapsed) =>
      outageDelay({ ...retries, maxDelay }, elapsed, () => random),
    )
  assert.deepEqual(delays(1_000, 1), [100, 400, 1_000, 1_000])
  assert.deepEqual(delays(1_000, 0), [75, 300, 750, 750])
  assert.deepEqual(delays(3_600_000, 1), [100, 400, 2_000, 300_000])
})
