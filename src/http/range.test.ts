import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRange } from './range.ts'

test('a range is clipped to the bytes that exist', () => {
  for (const [header, expected] of [
    ['bytes=0-0', [0, 0]],
    ['bytes=9-', [9, 9]],
    ['bytes=0-99999999999999999999', [0, 9]],
    ['bytes=-10', [0, 9]],
    ['bytes=-99', [0, 9]],
    ['BYTES= 2-3 ', [2, 3]],
  ] as const)
    assert.deepEqual(parseRange(header, 10), expected, header)
})

test('a range without bytes, and several ranges, cannot be satisfied', () => {
  for (const header of ['bytes=-0', 'bytes=10-', 'bytes=0-1,3-4', `bytes=${'0-0,'.repeat(200)}1-1`])
    assert.equal(parseRange(header, 10), 'unsatisfiable', header.slice(0, 30))
  assert.equal(parseRange('bytes=0-', 0), 'unsatisfiable')
})

test('an invalid header is ignored', () => {
  for (const header of [
    null,
    'bytes=5-4',
    'bytes=0-1,5-4',
    'bytes=-',
    'bytes=a-b',
    'bytes=1',
    'items=0-1',
    `bytes=${'0-0,'.repeat(5000)}1-1`,
  ])
    assert.equal(parseRange(header, 10), null, header?.slice(0, 30))
})
