import { createHash } from 'node:crypto'

/** A running MD5. */
export interface Md5Hash {
  update(data: Uint8Array): void
  /** Returns the digest in base64, as Rails stores it. */
  digest(): string
}

/** Starts an MD5. */
export function createMd5(): Md5Hash {
  const hash = createHash('md5')
  return {
    update: (data) => {
      hash.update(data)
    },
    digest: () => hash.digest('base64'),
  }
}

/** Reads bytes to their end and returns their number and MD5. */
export async function measureBytes(
  bytes: AsyncIterable<Uint8Array>,
): Promise<{ readonly byteSize: number; readonly checksum: string }> {
  const hash = createMd5()
  let byteSize = 0
  for await (const piece of bytes) {
    hash.update(piece)
    byteSize += piece.length
  }
  return { byteSize, checksum: hash.digest() }
}
