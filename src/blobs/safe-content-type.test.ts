import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toSafeContentType, toServiceMetadata } from './safe-content-type.ts'

test('types that a browser would run are served as bytes', () => {
  for (const type of ['text/html', 'image/svg+xml', 'application/atom+xml', 'text/xml'])
    assert.deepEqual(toSafeContentType(type), {
      contentType: 'application/octet-stream',
      mayBeInline: false,
    })
})

test('only known types may be shown in the page', () => {
  assert.deepEqual(toSafeContentType('image/png'), { contentType: 'image/png', mayBeInline: true })
  assert.deepEqual(toSafeContentType('text/plain'), {
    contentType: 'text/plain',
    mayBeInline: false,
  })
  assert.equal(toSafeContentType(null).contentType, 'application/octet-stream')
})

test('an object that must not be shown is stored as a download', () => {
  assert.deepEqual(toServiceMetadata('image/png', 'a.png'), { contentType: 'image/png' })
  assert.match(toServiceMetadata('text/html', 'a.html').disposition ?? '', /^attachment; /)
})
