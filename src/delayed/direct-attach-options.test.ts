import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readDirectAttachOptions } from './direct-attach-options.ts'

test('a save waits 30 seconds and throws by default', () => {
  assert.deepEqual(readDirectAttachOptions(), { timeout: 30_000, onFailure: 'throw' })
  assert.deepEqual(readDirectAttachOptions({}), readDirectAttachOptions())
})

test('given values are kept, durations in milliseconds', () => {
  assert.deepEqual(readDirectAttachOptions({ timeout: '2m', onFailure: 'background' }), {
    timeout: 120_000,
    onFailure: 'background',
  })
})

test('wrong values are refused with the name of the option', () => {
  assert.throws(() => readDirectAttachOptions({ onFailure: 'ignore' as never }), {
    code: 'CONFIGURATION',
    message: /direct\.onFailure is 'ignore'\. Give 'throw' or 'background'\./,
  })
  assert.throws(() => readDirectAttachOptions({ timeout: 30 as never }), {
    code: 'CONFIGURATION',
    message: /direct\.timeout/,
  })
})
