import { createHash } from 'node:crypto'
import { IntegrityError } from '../errors/errors.ts'
import type { UploadOptions } from './service.ts'

/** Passes the bytes on and throws at their end unless size and MD5 are the promised ones. */
export async function* verifyBytes(
  key: string,
  body: AsyncIterable<Uint8Array>,
  options: UploadOptions,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('md5')
  let size = 0
  // The last piece is held back until all is known to be right: no service ever has the whole of wrong bytes.
  let held: Uint8Array | undefined
  for await (const chunk of body) {
    options.signal?.throwIfAborted()
    hash.update(chunk)
    size += chunk.length
    if (size > options.byteSize) break
    if (held !== undefined) yield held
    held = chunk
  }
  options.signal?.throwIfAborted()
  const checksum = hash.digest('base64')
  if (size !== options.byteSize)
    throw new IntegrityError(
      `${key}: ${options.byteSize} bytes were promised and ${size} came. Nothing was stored.`,
    )
  if (checksum !== options.checksum)
    throw new IntegrityError(
      `${key}: the bytes have the MD5 ${checksum}, not ${options.checksum}. Nothing was stored.`,
    )
  if (held !== undefined) yield held
}
