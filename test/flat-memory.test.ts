import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { setImmediate as turn } from 'node:timers/promises'
import { readIncomingFile } from '../src/blobs/incoming-file.ts'
import { limitService } from '../src/services/limit-service.ts'
import { memory } from '../src/services/memory.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const PIECES = 50
const readers: Readonly<
  Record<string, (pieces: () => AsyncGenerator<Uint8Array>) => Promise<AsyncIterable<Uint8Array>>>
> = {
  'a file that comes in': (pieces) =>
    Promise.resolve(
      readIncomingFile({ filename: 'a.bin', open: pieces }, {}, new AbortController().signal),
    ),
  'a file that a service sends': (pieces) =>
    limitService(
      'local',
      { ...memory(), download: () => Promise.resolve(pieces()) },
      { progressBytes: 1, progressMs: 60_000, callMs: 60_000, copyMs: 60_000 },
    ).download('abcd', { signal: new AbortController().signal }),
}

for (const [name, open] of Object.entries(readers))
  test(`${name}: memory stays flat, because each piece is released`, async () => {
    const made: WeakRef<Uint8Array>[] = []
    let left = -1
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < PIECES; index += 1) {
        const piece = new Uint8Array(1024)
        made.push(new WeakRef(piece))
        yield piece
      }
      await turn()
      collectGarbage()
      left = made.filter((piece) => piece.deref() !== undefined).length
    }
    for await (const piece of await open(pieces)) assert.equal(piece.length, 1024)
    assert.equal(made.length, PIECES)
    assert.ok(left >= 0 && left <= 3, `${left} of ${PIECES} pieces are still held`)
  })
