import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDuration, parseDuration, parseSize } from './units.ts'

test('sizes are read as bytes, 1024-based', () => {
  assert.deepEqual(
    ([7, 7.9, '7B', '1 KB', '1.5KB', '10 MB', '1GB'] as const).map((size) => parseSize(size, 'x')),
    [7, 7, 7, 1024, 1536, 10 * 1024 ** 2, 1024 ** 3],
  )
  for (const size of [0, -1, NaN, Infinity, '0 MB', '10', '10 mb', 'MB', ' 1 MB', '1  MB', null])
    assert.throws(() => parseSize(size as never, 'maxSize'), {
      code: 'CONFIGURATION',
      message: /^maxSize is .*: give bytes as a number, or text such as '10 MB'\.$/,
    })
})

test('durations are read as milliseconds, and need a unit', () => {
  assert.deepEqual(
    (['0ms', '5ms', '1.5s', '2m', '24h', '3d'] as const).map((time) => parseDuration(time, 'x')),
    [0, 5, 1500, 120_000, 86_400_000, 259_200_000],
  )
  for (const time of [5, '5', '5 s', 'h', '-1s', '1 day', undefined])
    assert.throws(() => parseDuration(time as never, 'retries.for'), {
      code: 'CONFIGURATION',
      message: /^retries\.for is .*: give a duration with its unit, such as '24h'\.$/,
    })
})

test('durations are shown in the largest unit of which there are two', () => {
  assert.deepEqual(
    [-5, 0, 999, 1000, 1500, 119_999, 120_000, 7_199_999, 7_200_000, 172_800_000].map(
      formatDuration,
    ),
    ['0 ms', '0 ms', '999 ms', '1 s', '1.5 s', '120 s', '2 min', '120 min', '2 h', '2 d'],
  )
})
