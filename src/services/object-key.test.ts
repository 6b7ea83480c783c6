import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidInputError } from '../errors/errors.ts'
import { checkKey, checkPrefix, isSafeKey, MAX_KEY_BYTES } from './object-key.ts'

test('a relative path of any letters is a safe key', () => {
  for (const key of ['a', 'a/b/c', 'with space.txt', '履歴書/файл.pdf', '.hidden', 'a..b', '...'])
    assert.ok(isSafeKey(key), key)
})

test('a key that leaves its folder, or that a service cannot store, is not safe', () => {
  for (const key of ['', ' ', '.', '..', '../x', 'a/../b', '/a', 'a/', 'a//b', 'a\0b', 'a\\b'])
    assert.ok(!isSafeKey(key), JSON.stringify(key))
})

test('the longest key is counted in bytes', () => {
  assert.ok(isSafeKey('ф'.repeat(Math.floor(MAX_KEY_BYTES / 2))))
  assert.ok(!isSafeKey('ф'.repeat(MAX_KEY_BYTES / 2 + 1)))
})

test('checkKey names a key that is not safe, but not all of a long one', () => {
  assert.throws(
    () => checkKey(`../${'x'.repeat(1_000)}`),
    (error) => error instanceof InvalidInputError && error.message.length < 300,
  )
})

test('a prefix may end within a segment or with a slash, and is neither empty nor unsafe', () => {
  for (const prefix of ['a', 'a/', 'a/b']) assert.doesNotThrow(() => checkPrefix(prefix))
  for (const prefix of ['', '/', '../', 'a//'])
    assert.throws(() => checkPrefix(prefix), InvalidInputError, prefix)
})
