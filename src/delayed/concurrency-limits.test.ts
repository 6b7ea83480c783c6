import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServiceError, ServiceUnavailableError } from '../errors/errors.ts'
import {
  createConcurrencyLimits,
  readConcurrency,
  runWithPermit,
  type Concurrency,
  type Outages,
} from './concurrency-limits.ts'

const names = { all: ['disk', 's3'], used: ['disk', 's3'] }

test('one service gets half of the total, or what the option gives it', () => {
  const read = (given?: Concurrency, used = names.used) => {
    const { total, forService } = readConcurrency(given, { ...names, used })
    return [total, forService('disk'), forService('s3')]
  }
  assert.deepEqual(read(), [5, 3, 3])
  assert.deepEqual(read(8), [8, 4, 4])
  assert.deepEqual(read(8, ['disk']), [8, 8, 8])
  assert.deepEqual(read({ perService: 2 }), [5, 2, 2])
  assert.deepEqual(read({ total: 20, perService: 8, services: { s3: 16 } }), [20, 8, 16])
})

test('a wrong number or name in the option is a ConfigurationError', () => {
  for (const [given, message] of [
    [0, /^concurrency must be a whole number above 0/],
    [{ total: 1.5 }, /^concurrency\.total must be/],
    [{ perService: -1 }, /^concurrency\.perService must be/],
    [{ services: { s3: 0 } }, /^concurrency\.services\.s3 must be/],
    [{ services: { s4: 1 } }, /^concurrency\.services names 's4', .* among disk, s3/],
    [{ services: null }, /^concurrency\.services must be an object/],
    [{ totals: 1 }, /totals/],
  ] as const)
    assert.throws(() => readConcurrency(given as never, names), { code: 'CONFIGURATION', message })
})

/** Limits with a clock and without chance. */
function createLimits({ isWorker }: { readonly isWorker: boolean }) {
  const clock = { now: 1_000 }
  const outages: Outages = new Map()
  const limits = createConcurrencyLimits({
    settings: readConcurrency({ total: 4, perService: 2 }, names),
    outages,
    retries: { attempts: 3, minDelay: 100, maxDelay: 10_000, for: 60_000 },
    isWorker,
    now: () => clock.now,
    random: () => 1,
  })
  return { limits, outages, clock }
}

test('a service has capacity until its permits are held, whatever others hold', () => {
  const { limits } = createLimits({ isWorker: true })
  const release = limits.acquire('s3')
  limits.acquire('s3')
  assert.deepEqual([limits.capacity('s3'), limits.capacity('disk')], [0, 2])
  release('unknown')
  assert.equal(limits.capacity('s3'), 1)
})

test('a worker tries an unavailable service with one piece of work, after growing delays', () => {
  const { limits, clock } = createLimits({ isWorker: true })
  limits.acquire('s3')('unavailable')
  assert.deepEqual([limits.capacity('s3'), limits.unavailableUntil('s3')], [0, 1_100])
  clock.now = 1_100
  assert.equal(limits.capacity('s3'), 1)
  const release = limits.acquire('s3')
  assert.equal(limits.capacity('s3'), 0)
  clock.now = 1_500
  release('unavailable')
  assert.equal(limits.unavailableUntil('s3'), 2_000)
  clock.now = 2_000
  limits.acquire('s3')('available')
  assert.deepEqual([limits.capacity('s3'), limits.unavailableUntil('s3')], [2, 0])
})

test('a drain does not try a service again that it has seen unavailable', () => {
  const { limits, outages, clock } = createLimits({ isWorker: false })
  outages.set('s3', { since: 0, until: 1e9 })
  // Another drain, or a worker, has seen the outage.
  assert.equal(limits.capacity('s3'), 1)
  limits.acquire('s3')('unavailable')
  clock.now = 1e10
  assert.equal(limits.capacity('s3'), 0)
})

test('retryDelay is five seconds, or longer while the service is unavailable', () => {
  const { limits, outages } = createLimits({ isWorker: true })
  assert.equal(limits.retryDelay('s3'), 5_000)
  outages.set('s3', { since: 0, until: 9_000 })
  assert.equal(limits.retryDelay('s3'), 8_000)
})

test('a job runs with a permit, and its error says whether the service is available', async () => {
  const { limits, outages } = createLimits({ isWorker: true })
  const run = (result: () => number | null) =>
    runWithPermit(limits, 's3', async () => {
      assert.equal(limits.capacity('s3'), outages.has('s3') ? 0 : 1)
      return result()
    })
  const raise = (error: Error) => (): never => {
    throw error
  }
  assert.equal(await run(() => 7), 7)
  await assert.rejects(run(raise(new ServiceError('Refused.'))), /Refused/)
  assert.equal(outages.size, 0)
  await assert.rejects(run(raise(new ServiceUnavailableError('Nothing answers.'))), /Nothing/)
  assert.equal(outages.size, 1)
  // No capacity: the job is postponed, and does not run.
  assert.equal(await run(raise(new Error('It ran.'))), 0)
  outages.set('s3', { since: 0, until: 0 })
  assert.equal(await run(() => 7), 7)
  assert.equal(outages.size, 1)
  assert.equal(await run(() => null), null)
  assert.equal(outages.size, 0)
})
