import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHookLease, hookRoundDelay, readHookRound } from './hook-rounds.ts'

test('the attempts of an attached upload count its rounds', () => {
  const attached = { state: 'attached', leaseToken: 'a:7' } as const
  assert.equal(readHookRound({ ...attached, attempts: 0 }), 1)
  assert.equal(readHookRound({ ...attached, attempts: 2 }), 3)
  assert.match(createHookLease({ ...attached, attempts: 0 }), /^[\da-f-]{36}$/)
})

test('the lease token of a failed upload counts its rounds, and the attempts stay', () => {
  const failed = { state: 'failed', attempts: 10 } as const
  assert.equal(readHookRound({ ...failed, leaseToken: null }), 1)
  let leaseToken = createHookLease({ ...failed, leaseToken: null })
  assert.match(leaseToken, /^[\da-f-]{36}:2$/)
  assert.equal(readHookRound({ ...failed, leaseToken }), 2)
  leaseToken = createHookLease({ ...failed, leaseToken })
  assert.equal(readHookRound({ ...failed, leaseToken }), 3)
})

test('delays between rounds double', () => {
  assert.deepEqual([1, 2].map(hookRoundDelay), [10_000, 20_000])
})
