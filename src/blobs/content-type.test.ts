import assert from 'node:assert/strict'
import { test } from 'node:test'
import { identifyContentType, guessContentType, swapTrackType } from './content-type.ts'
import { isChildType, isKnownByBytesOnly } from './type-children.ts'
import { parseMediaType, stripParameters, toCanonicalType } from './type-names.ts'

test('a media type is parsed without parameters, in lower case', () => {
  assert.equal(stripParameters(' Text/HTML; charset=utf-8'), 'text/html')
  assert.equal(stripParameters(undefined), '')
  assert.equal(parseMediaType('Image/PNG;x=1'), 'image/png')
  for (const text of [null, '', 'image', 'image/', 'a b/c', `a/${'x'.repeat(300)}`])
    assert.equal(parseMediaType(text), null)
})

test('all names of a type have one canonical name', () => {
  assert.equal(toCanonicalType('application/x-gzip'), 'application/gzip')
  assert.equal(toCanonicalType('Application/X-Gzip; x=1'), 'application/gzip')
  assert.equal(toCanonicalType('image/png'), 'image/png')
})

test('a type is a child of the container that its signature shows', () => {
  assert.ok(isChildType('application/java-archive', 'application/zip'))
  assert.ok(isChildType('application/epub+zip', 'application/zip'))
  assert.ok(!isChildType('application/zip', 'application/zip'))
  assert.ok(!isChildType('image/png', 'application/zip'))
  assert.ok(!isChildType('image/svg+xml', 'application/xml'))
})

test('a name makes a file HTML, but no other page', () => {
  assert.ok(isKnownByBytesOnly('image/svg+xml'))
  assert.ok(!isKnownByBytesOnly('text/html'))
  assert.ok(!isKnownByBytesOnly('image/png'))
})

test('bytes count before the name, and the name before what was declared', async () => {
  const png = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')
  assert.equal(await identifyContentType(png, 'a.pdf', 'text/plain'), 'image/png')
  assert.equal(await identifyContentType(Buffer.from('x'), 'a.csv', 'text/plain'), 'text/csv')
  assert.equal(await identifyContentType(Buffer.from('x'), 'a', 'text/x-own'), 'text/x-own')
  assert.equal(await identifyContentType(Buffer.from('x'), 'a'), 'application/octet-stream')
  assert.equal(await identifyContentType(Buffer.from('<svg/>'), 'a.png'), 'image/svg+xml')
})

test('the declared type decides between film and sound where the name allows both', () => {
  assert.equal(swapTrackType('video/mp4'), 'audio/mp4')
  assert.equal(swapTrackType('image/png'), null)
  assert.equal(guessContentType('a.mp4', 'audio/mp4'), 'audio/mp4')
  assert.equal(guessContentType('a.png', 'audio/mp4'), 'image/png')
  assert.equal(guessContentType('a', undefined), null)
})
