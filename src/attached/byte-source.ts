import { byteStreamOf, isBytes, wasRead } from '../blobs/byte-stream.ts'
import { InvalidInputError, type ErrorDetails } from '../errors.ts'

const consumed = new WeakSet<object>()

export const wasHandedOver = (io: object): boolean => consumed.has(io)

/** Streams can be read once. One that was read before would be stored as an empty file; it is an error instead. */
export function byteSource(io: unknown, details: ErrorDetails): () => AsyncIterable<Uint8Array> {
  if (isBytes(io)) return () => whole(io)
  const stream = byteStreamOf(io)
  if (stream === null || typeof io !== 'object' || io === null)
    throw new InvalidInputError(
      `io is ${typeof io === 'object' ? 'an object without bytes' : `a ${typeof io}`}: pass a Uint8Array, a Node stream or a web ReadableStream.`,
      { details },
    )
  if (consumed.has(io) || wasRead(io)) throw readBefore(details)
  consumed.add(io)
  return () => stream
}

export function readBefore(details: ErrorDetails): InvalidInputError {
  return new InvalidInputError(
    `${details.filename ?? 'The stream'} was read before: a stream can be handed over once. Stage it and use the staged file, or open it again.`,
    { details },
  )
}

async function* whole(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data
}
