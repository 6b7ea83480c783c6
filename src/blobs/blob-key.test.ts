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
  const times = { now: new Date('2024-01-02T03:04:05.678Z'), createUuid: () => 'uuid' }
  const name = (filename: string, kind: 'one' | 'many'): string =>
    createDefaultFilename('7', filename, kind, times)
  assert.equal(name('My Photo.PNG', 'one'), '7-my-photo-1704164645.PNG')
  assert.equal(name('a.png', 'many'), '7-uuid-a-1704164645.png')
  assert.equal(name('履歴 書.pdf', 'one'), '7-履歴-書-1704164645.pdf')
})

test('a chosen name becomes one safe segment of a key', () => {
  assert.equal(toSafeObjectName('../..//a\u0000b.png'), 'a-b.png')
  assert.equal(toSafeObjectName('...'), 'file')
  assert.equal(insertSuffix('a.png', 'x1'), 'a-x1.png')
  assert.equal(insertSuffix('a', 'x1'), 'a-x1')
})
