import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPhase } from './upload-phase.ts'

const lastError = 'The disk is full.'

test('a pending upload is due, waits for its lane, or waits for its retry', () => {
  const pending = { state: 'pending', lastError: null, isDue: false, isSnoozed: false } as const
  assert.equal(readPhase({ ...pending, isDue: true }), 'due')
  assert.equal(readPhase({ ...pending, isDue: true, lastError }), 'due')
  assert.equal(readPhase(pending), 'waiting')
  assert.equal(readPhase({ ...pending, lastError }), 'failing')
})

test('a snoozed upload waits, even if an earlier attempt failed', () => {
  for (const isDue of [false, true])
    assert.equal(readPhase({ state: 'pending', lastError, isDue, isSnoozed: true }), 'waiting')
})

test('the other states tell the phase alone', () => {
  for (const isDue of [false, true])
    for (const error of [null, lastError]) {
      const rest = { lastError: error, isDue, isSnoozed: false }
      assert.equal(readPhase({ ...rest, state: 'running' }), 'waiting')
      assert.equal(readPhase({ ...rest, state: 'failed' }), 'failing')
      assert.equal(readPhase({ ...rest, state: 'attached' }), 'attached')
    }
})
