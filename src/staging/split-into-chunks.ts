import { CHUNK_SIZE } from './file-rows.ts'

/** Bytes of one chunk row. `last`: no byte comes after them. */
export interface Chunk {
  readonly data: Buffer
  readonly last: boolean
}

/**
 * Pieces of any size as chunks of one size; no bytes at all are one empty chunk. They are copied into buffers of `spare`, or
 * new ones: while a client is slow, no more is held than the chunk that it fills.
 */
export async function* splitIntoChunks(
  pieces: AsyncIterable<Uint8Array>,
  spare: Buffer[],
): AsyncGenerator<Chunk> {
  let buffer: Buffer | undefined
  let filled = 0
  for await (const piece of pieces)
    for (let offset = 0; offset < piece.length;) {
      if (buffer !== undefined && filled === CHUNK_SIZE) {
        const data = buffer
        buffer = undefined
        filled = 0
        yield { data, last: false }
      }
      buffer ??= spare.pop() ?? Buffer.allocUnsafe(CHUNK_SIZE)
      const length = Math.min(piece.length - offset, CHUNK_SIZE - filled)
      buffer.set(piece.subarray(offset, offset + length), filled)
      filled += length
      offset += length
    }
  yield { data: buffer?.subarray(0, filled) ?? Buffer.alloc(0), last: true }
}
