import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKey, prefixKey } from './blob-key.ts'
import { createDefaultFilename, insertSuffix, toSafeObjectName } from './default-filename.ts'

test('a key has 28 characters of base 36', () => {
  assert.match(generateKey(), /^[0-9a-z]{28}$/)
  let next = 0
  assert.equal(
    generateKey(() => next++),
    '0123456789abcdefghijklmnopqr',
  )
})

test('a prefix stands before a key, with one slash between', () => {
  assert.equal(prefixKey(undefined, 'key'), 'key')
  assert.equal(prefixKey('', 'key'), 'key')
  assert.equal(prefixKey('users//', 'key'), 'users/key')
})

test("the default name of an object is the gem's", () => {
  const now = new Date('2024-01-02T03:04:05.678Z')
  assert.equal(createDefaultFilename('7', 'My Photo.PNG', 'one', now), '7-my-photo-1704164645.PNG')
  assert.match(
    createDefaultFilename('7', 'a.png', 'many', now),
    /^7-[0-9a-f-]{36}-a-1704164645\.png$/,
  )
  assert.equal(createDefaultFilename('7', '履歴 書.pdf', 'one', now), '7-履歴-書-1704164645.pdf')
})

test('a chosen name becomes one safe segment of a key', () => {
  assert.equal(toSafeObjectName('../..//a\u0000b.png'), 'a-b.png')
  assert.equal(toSafeObjectName('...'), 'file')
  assert.equal(insertSuffix('a.png', 'x1'), 'a-x1.png')
  assert.equal(insertSuffix('a', 'x1'), 'a-x1')
})
