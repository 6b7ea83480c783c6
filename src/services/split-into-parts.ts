/**
 * Cuts bytes into parts of exactly `size` bytes; the last one may be shorter. Yields one empty part
 * for no bytes. Allocates `size` bytes for each part before its first byte, so give no more than
 * the object has. Throws RangeError unless `size` is a whole number above 0.
 */
export async function* splitIntoParts(
  body: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Buffer> {
  if (!Number.isSafeInteger(size) || size <= 0)
    throw new RangeError(`A part has a whole number of bytes above 0, not ${size}.`)
  let part = Buffer.allocUnsafe(size)
  let filled = 0
  let count = 0
  for await (const chunk of body)
    for (let at = 0; at < chunk.length;) {
      const length = Math.min(chunk.length - at, size - filled)
      part.set(chunk.subarray(at, at + length), filled)
      filled += length
      at += length
      if (filled < size) continue
      count += 1
      yield part
      part = Buffer.allocUnsafe(size)
      filled = 0
    }
  if (filled > 0 || count === 0) yield part.subarray(0, filled)
}
