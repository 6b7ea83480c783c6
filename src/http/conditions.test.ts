import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkConditions } from './conditions.ts'

const etag = '"tag"'
const lastModified = new Date('2024-02-29T12:00:00.900Z')
const modified = 'Thu, 29 Feb 2024 12:00:00 GMT'
const before = 'Thu, 29 Feb 2024 11:59:59 GMT'
const check = (headers: Record<string, string>): string | null =>
  checkConditions(new Request('http://x/', { headers }), { etag, lastModified })

test('a client that has the bytes is fresh', () => {
  for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*'])
    assert.equal(check({ 'if-none-match': tag }), 'fresh', tag)
  for (const date of [
    modified,
    'Fri, 01 Jan 2044 00:00:00 GMT',
    'Friday, 01-Jan-44 00:00:00 GMT',
    'Fri Jan  1 00:00:00 2044',
  ])
    assert.equal(check({ 'if-modified-since': date }), 'fresh', date)
  assert.equal(check({ 'if-none-match': '"x"' }), null)
  assert.equal(check({ 'if-modified-since': before }), null)
})

test('an invalid date is ignored', () => {
  for (const date of ['yesterday', '2044', '1 Jan 2044', 'Sat, 31 Feb 2044 00:00:00 GMT', ''])
    assert.equal(check({ 'if-modified-since': date }), null, date)
  assert.equal(check({ 'if-unmodified-since': '1994' }), null)
})

test('a precondition on other bytes fails', () => {
  for (const tag of ['"x"', `W/${etag}`, ''])
    assert.equal(check({ 'if-match': tag }), 'failed', tag)
  for (const tag of [etag, `"x", ${etag}`, '*']) assert.equal(check({ 'if-match': tag }), null, tag)
  assert.equal(check({ 'if-unmodified-since': before }), 'failed')
  assert.equal(check({ 'if-unmodified-since': modified }), null)
})

test('tags count before dates, and If-Match before If-None-Match', () => {
  assert.equal(check({ 'if-none-match': '"x"', 'if-modified-since': modified }), null)
  assert.equal(check({ 'if-match': etag, 'if-unmodified-since': before }), null)
  assert.equal(check({ 'if-match': '"x"', 'if-none-match': etag }), 'failed')
})
