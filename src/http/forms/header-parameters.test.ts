import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseHeaderParameters } from './header-parameters.ts'

const parse = (text: string): Record<string, string> =>
  Object.fromEntries(parseHeaderParameters(text))

test('parameters are read as Rack reads them', () => {
  for (const [text, expected] of [
    ['form-data; name="a"; filename="b.txt"', { name: 'a', filename: 'b.txt' }],
    ['form-data;; NAME=a ;; filename=my photo.txt', { name: 'a', filename: 'my' }],
    ['form-data; flag; name="a;b"', { name: 'a;b' }],
    ['form-data; name = "a"; name="b"', { name: 'b' }],
    ['form-data; name="a"b"', { name: 'a' }],
    ['form-data; name="a\\"b"', { name: 'a"b' }],
    ['form-data; filename="C:\\photos\\a.txt"', { filename: 'C:\\photos\\a.txt' }],
    ['form-data; name=', { name: '' }],
    ['form-data', {}],
  ] as const)
    assert.deepEqual(parse(text), expected, text)
})

test('a quote that is never closed is refused', () => {
  assert.throws(() => parse('form-data; name="a; filename=b'), { code: 'INVALID_INPUT' })
})
