import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigurationError } from '../errors/errors.ts'
import { checkTransformation } from './image-processor.ts'

test('valid transformations pass', () => {
  for (const value of [
    { resizeToLimit: [400, null] },
    { resizeToFit: [null, 400], convert: 'webp', quality: 80 },
    { resizeAndPad: [1, 1], background: '#fff' },
    { keep: [] },
  ])
    assert.doesNotThrow(() => checkTransformation(value, 'variantInfo'))
})

test('a transformation that could only fail later is a ConfigurationError that names the option', () => {
  for (const value of [
    null,
    {},
    { resize: [1, 1] },
    { resizeToFit: [1, 1], resizeToFill: [1, 1] },
    { resizeToFit: [null, null] },
    { resizeToFill: [1, null] },
    { resizeToFill: [0, 1] },
    { resizeToFill: [1.5, 1] },
    { convert: 'bmp' },
    { quality: 0 },
    { quality: 101 },
    { quality: '80' },
    { background: 'white' },
    { keep: ['xmp'] },
    { keep: 'exif' },
  ])
    assert.throws(
      () => checkTransformation(value, 'variantInfo'),
      (error) => error instanceof ConfigurationError && error.message.startsWith('variantInfo: '),
      JSON.stringify(value),
    )
})
