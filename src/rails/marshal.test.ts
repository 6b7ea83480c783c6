import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dumpMarshal } from './dump-marshal.ts'
import { loadMarshal } from './load-marshal.ts'
import type { RailsValue } from './rails-value.ts'

/** Bytes after the version, as Ruby's `Marshal.dump` writes them, and what is read from them. */
const vectors: readonly (readonly [hex: string, value: RailsValue, loaded?: RailsValue])[] = [
  ['30', null],
  ['54', true],
  ['46', false],
  ['69 00', 0],
  ['69 7f', 122],
  ['69 01 7b', 123],
  ['69 02 00 01', 256],
  ['69 fa', -1],
  ['69 80', -123],
  ['69 ff 84', -124],
  ['6c 2b 07 00 00 00 40', 2n ** 30n],
  ['6c 2d 07 01 00 00 40', -(2n ** 30n) - 1n],
  ['66 08 31 2e 35', 1.5],
  ['49 22 06 61 06 3a 06 45 54', 'a'],
  ['3a 06 61', Symbol.for('a'), 'a'],
  ['5b 06 69 06', [1]],
  ['5b 07 3a 06 61 3b 00', [Symbol.for('a'), Symbol.for('a')], ['a', 'a']],
  ['5b 07 66 08 31 2e 35 40 06', [1.5, 1.5]],
]

test('each value is written as Ruby writes it, and read back', () => {
  for (const [hex, value, loaded = value] of vectors) {
    const data = Buffer.from(`0408${hex.replaceAll(' ', '')}`, 'hex')
    assert.equal(dumpMarshal(value).toString('hex'), data.toString('hex'), hex)
    assert.deepEqual(loadMarshal(data), loaded, hex)
  }
})

test('keys of an object are symbols, and are read as their names', () => {
  const data = Buffer.from('04087b063a066b6906', 'hex')
  assert.deepEqual(dumpMarshal({ k: 1 }), data)
  assert.deepEqual({ ...Object(loadMarshal(data)) }, { k: 1 })
})

test('objects, other versions and cut data are TypeErrors', () => {
  for (const text of [
    '\x04\x08o:\x0bObject\0',
    '\x04\x070',
    '\x04\x08',
    '\x04\x08"\x0aab',
    '\x04\x08;\0',
  ])
    assert.throws(() => loadMarshal(Buffer.from(text, 'latin1')), TypeError)
})
