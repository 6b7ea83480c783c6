import { toByteStream, isBytes, isStreamUsed } from '../blobs/byte-stream.ts'
import { InvalidInputError, type ErrorDetails } from '../errors/errors.ts'

const consumed = new WeakSet<object>()

export const wasHandedOver = (io: object): boolean => consumed.has(io)

/** Streams can be read once. One that was read before would be stored as an empty file; it is an error instead. */
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

export function readBeforeError(details: ErrorDetails): InvalidInputError {
  return new InvalidInputError(
    `${details.filename ?? 'The stream'} was read before: a stream can be handed over once. Stage it and use the staged file, or open it again.`,
    { details },
  )
}

async function* yieldWhole(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data
}
