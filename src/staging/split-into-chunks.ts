import { CHUNK_SIZE } from './file-rows.ts'

/** The bytes of one chunk row. */
export interface Chunk {
  readonly data: Buffer
  /** Whether the file ends with these bytes. */
  readonly last: boolean
}

/**
 * Splits bytes into chunks of one size; an empty file is one empty chunk. The bytes are copied into
 * free buffers, or new ones, so that a slow client holds the memory of one chunk only.
 */
export async function* splitIntoChunks(
  pieces: AsyncIterable<Uint8Array>,
  freeBuffers: Buffer[],
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
      buffer ??= freeBuffers.pop() ?? Buffer.allocUnsafe(CHUNK_SIZE)
      const length = Math.min(piece.length - offset, CHUNK_SIZE - filled)
      buffer.set(piece.subarray(offset, offset + length), filled)
      filled += length
      offset += length
    }
  yield { data: buffer?.subarray(0, filled) ?? Buffer.alloc(0), last: true }
}
