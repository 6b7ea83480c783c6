import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidInputError } from '../errors/errors.ts'
import { checkRange } from './range.ts'

test('a range of whole bytes is valid, and no range is valid too', () => {
  for (const range of [undefined, [0, 0], [0, 9], [5, Number.MAX_SAFE_INTEGER]] as const)
    assert.doesNotThrow(() => checkRange('key', range))
})

test('a range must begin within the bytes, and may end after them', () => {
  assert.doesNotThrow(() => checkRange('key', [4, 9], 5))
  assert.throws(() => checkRange('key', [5, 9], 5), /begins after the last byte.*5 bytes/)
  assert.throws(() => checkRange('key', [0, 0], 0), InvalidInputError)
})

test('a range that is negative, reversed or not whole is invalid', () => {
  for (const range of [
    [-1, 2],
    [3, 1],
    [0, 1.5],
    [0, NaN],
    [Infinity, Infinity],
  ] as const)
    assert.throws(() => checkRange('key', range), InvalidInputError)
})
