import { Readable } from 'node:stream'
import { types } from 'node:util'

/**
 * Turns a stream of any library (Node's, the web's, or an async iterable) into an async iterable.
 * null: it is no stream.
 */
export function toByteStream(stream: unknown): AsyncIterable<Uint8Array> | null {
  if (typeof stream !== 'object' || stream === null) return null
  if (isAsyncIterable(stream)) return stream
  return isWebStream(stream) ? readWebStream(stream) : null
}

/**
 * Returns whether a stream can be iterated. Its pieces are not checked here: `readIncomingFile`
 * refuses those that are not bytes.
 */
function isAsyncIterable(stream: object): stream is AsyncIterable<Uint8Array> {
  return Symbol.asyncIterator in stream
}

function isWebStream(stream: object): stream is ReadableStream<Uint8Array> {
  return 'getReader' in stream && typeof stream.getReader === 'function'
}

/** Reads a web stream that cannot be iterated, as those of some libraries. */
async function* readWebStream(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  let isWhole = false
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      yield value
    }
    isWhole = true
  } finally {
    if (!isWhole) await reader.cancel().catch(() => undefined)
  }
}

/** Returns true when a stream is being read or was read, so that its bytes are lost. */
export function isStreamUsed(stream: object): boolean {
  const flags: Partial<
    Record<'readableDidRead' | 'readableEnded' | 'destroyed' | 'locked', unknown>
  > = stream
  return (
    flags.readableDidRead === true ||
    flags.readableEnded === true ||
    flags.destroyed === true ||
    flags.locked === true ||
    // `isDisturbed` accepts every stream, though its type names only those of Node.
    Readable.isDisturbed(stream as Readable)
  )
}

/**
 * Returns true for bytes, also of another realm: a test environment such as Jest's has classes of
 * its own.
 */
export const isBytes = (value: unknown): value is Uint8Array => types.isUint8Array(value)

/** Reads the first piece and returns a stream that begins with it. null: the stream is empty. */
export async function toNonEmptyStream(
  stream: AsyncIterable<Uint8Array>,
): Promise<AsyncIterable<Uint8Array> | null> {
  const pieces = stream[Symbol.asyncIterator]()
  const first = await pieces.next()
  return first.done === true ? null : resume(first, pieces)
}

async function* resume(
  first: IteratorResult<Uint8Array>,
  pieces: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; next.done !== true; next = await pieces.next()) yield next.value
  } finally {
    await pieces.return?.()
  }
}
