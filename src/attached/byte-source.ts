import { toByteStream, isBytes, isStreamUsed } from '../blobs/byte-stream.ts'
import { InvalidInputError, type ErrorDetails } from '../errors/errors.ts'

/** Streams that were given to this library. */
const consumed = new WeakSet<object>()

/** Returns whether a stream was given to this library before. */
export const wasHandedOver = (io: object): boolean => consumed.has(io)

/**
 * Opens a source of bytes. Throws InvalidInputError for a stream that was read before: it would be
 * stored as an empty file.
 */
export function createByteSource(
  io: unknown,
  details: ErrorDetails,
): () => AsyncIterable<Uint8Array> {
  if (isBytes(io)) return () => yieldWhole(io)
  const stream = toByteStream(io)
  if (stream === null || typeof io !== 'object' || io === null)
    throw new InvalidInputError(
      `io is ${typeof io === 'object' ? 'an object without bytes' : `a ${typeof io}`}: pass a Uint8Array, a Node stream or a web ReadableStream.`,
      { details },
    )
  if (consumed.has(io) || isStreamUsed(io)) throw readBeforeError(details)
  consumed.add(io)
  return () => stream
}

/** Creates the error for a stream that was read before. */
export function readBeforeError(details: ErrorDetails): InvalidInputError {
  return new InvalidInputError(
    `${details.filename ?? 'The stream'} was read before: a stream can be read once. Stage it and use the staged file, or open it again.`,
    { details },
  )
}

async function* yieldWhole(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data
}
