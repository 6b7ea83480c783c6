import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readDirectOptions } from './direct-options.ts'

test('a save waits 30 seconds and throws by default', () => {
  assert.deepEqual(readDirectOptions(), { timeout: 30_000, onFailure: 'throw' })
  assert.deepEqual(readDirectOptions({}), readDirectOptions())
})

test('given values are kept, durations in milliseconds', () => {
  assert.deepEqual(readDirectOptions({ timeout: '2m', onFailure: 'background' }), {
    timeout: 120_000,
    onFailure: 'background',
  })
})

test('wrong values are refused with the name of the option', () => {
  assert.throws(() => readDirectOptions({ onFailure: 'ignore' as never }), {
    code: 'CONFIGURATION',
    message: /direct\.onFailure is 'ignore'\. Give 'throw' or 'background'\./,
  })
  assert.throws(() => readDirectOptions({ timeout: 30 as never }), {
    code: 'CONFIGURATION',
    message: /direct\.timeout/,
  })
})
