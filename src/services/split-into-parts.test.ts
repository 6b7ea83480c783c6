import assert from 'node:assert/strict'
import { test } from 'node:test'
import { splitIntoParts } from './split-into-parts.ts'

async function split(pieces: readonly string[], size: number): Promise<string[]> {
  const body = async function* (): AsyncGenerator<Uint8Array> {
    for (const piece of pieces) yield Buffer.from(piece)
  }
  const parts: string[] = []
  for await (const part of splitIntoParts(body(), size)) parts.push(part.toString())
  return parts
}

test('parts have the given size, whatever the size of the pieces', async () => {
  assert.deepEqual(await split(['abcdefg'], 3), ['abc', 'def', 'g'])
  assert.deepEqual(await split(['a', 'bc', 'def'], 3), ['abc', 'def'])
  assert.deepEqual(await split(['a', '', 'b'], 3), ['ab'])
})

test('no bytes are one empty part', async () => {
  assert.deepEqual(await split([], 3), [''])
})

test('a size that is not a whole number above 0 is refused', async () => {
  for (const size of [0, -1, 1.5, NaN]) await assert.rejects(split(['a'], size), RangeError)
})
