import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toContentDisposition } from './content-disposition.ts'

test('the header has an ASCII name for old clients, and the real one', () => {
  assert.equal(
    toContentDisposition('inline', 'naïve 1.txt'),
    `inline; filename="naive 1.txt"; filename*=UTF-8''na%C3%AFve%201.txt`,
  )
})

test('no name can end the header or begin another', () => {
  const header = toContentDisposition('attachment', 'a"; x="\r\nSet-Cookie: b')
  assert.doesNotMatch(header, /[\r\n]/)
  assert.equal(header.split('"').length, 3)
})
