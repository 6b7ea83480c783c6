import { Readable } from 'node:stream'
import { types } from 'node:util'

/** A stream of bytes of any library: Node's, the web's, or what can be iterated like one. null: it is none. */
export function toByteStream(stream: unknown): AsyncIterable<Uint8Array> | null {
  if (typeof stream !== 'object' || stream === null) return null
  if (Symbol.asyncIterator in stream) return stream as AsyncIterable<Uint8Array>
  return 'getReader' in stream && typeof stream.getReader === 'function'
    ? readWebStream(stream as ReadableStream<Uint8Array>)
    : null
}

/** Web streams of some libraries cannot be iterated. */
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

/** Somebody reads it, or has read of it. */
export function isStreamUsed(stream: object): boolean {
  const { readableDidRead, readableEnded, destroyed, locked } = stream as Partial<
    Readable & ReadableStream
  >
  return (
    readableDidRead === true ||
    readableEnded === true ||
    destroyed === true ||
    locked === true ||
    Readable.isDisturbed(stream as Readable)
  )
}

/** Bytes, also of another realm: a test environment has classes of its own. */
export const isBytes = (value: unknown): value is Uint8Array => types.isUint8Array(value)

/** The stream with its first piece read already; null: it is empty. */
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
