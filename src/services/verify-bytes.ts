import { createHash } from 'node:crypto'
import { IntegrityError } from '../errors/errors.ts'
import type { UploadOptions } from './service.ts'

/**
 * Passes the bytes of an upload on. Throws IntegrityError before the last piece unless size and MD5
 * are the promised ones, so no service ever gets all of a wrong body. Throws the signal's reason
 * when it aborts.
 */
export async function* verifyBytes(
  key: string,
  body: AsyncIterable<Uint8Array>,
  options: UploadOptions,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('md5')
  let size = 0
  let lastPiece: Uint8Array | undefined
  for await (const chunk of body) {
    options.signal?.throwIfAborted()
    hash.update(chunk)
    size += chunk.length
    if (size > options.byteSize) break
    if (lastPiece !== undefined) yield lastPiece
    lastPiece = chunk
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
  if (lastPiece !== undefined) yield lastPiece
}
