import assert from 'node:assert/strict'
import { test } from 'node:test'
import { prefixKey } from '../blobs/blob-key.ts'
import { MAX_KEY_BYTES } from '../services/object-key.ts'
import { toObjectName } from './choose-name.ts'

test('a name stays as it is in the first round, and gets a random suffix afterwards', () => {
  assert.equal(toObjectName('photo.png', undefined, 0), 'photo.png')
  const names = [1, 2].map((round) => toObjectName('photo.png', undefined, round))
  for (const name of names) assert.match(name, /^photo-[\da-f]{8}\.png$/)
  assert.notEqual(names[0], names[1])
})

test('a key of less than five characters gets a suffix, unless its prefix is long enough', () => {
  assert.match(toObjectName('a.b', undefined, 0), /^a-[\da-f]{8}\.b$/)
  assert.equal(toObjectName('a.bcd', undefined, 0), 'a.bcd')
  assert.equal(toObjectName('a.b', 'x', 0), 'a.b')
})

test('a long name is cut so that its key fits, with a suffix too', () => {
  const prefix = 'p'.repeat(100)
  for (const round of [0, 1]) {
    const name = toObjectName(`${'ф'.repeat(120)}.png`, prefix, round)
    assert.match(name, /ф.*\.png$/)
    assert.ok(Buffer.byteLength(prefixKey(prefix, name)) <= MAX_KEY_BYTES)
  }
})
