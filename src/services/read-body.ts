import { addAbortSignal, type Readable } from 'node:stream'

/**
 * Reads the body of a store's response. An aborted signal destroys it, also before it is read, and
 * the reader gets the signal's reason. Other errors become those of `toError`.
 */
export function readBody(
  body: Readable,
  signal: AbortSignal | undefined,
  toError: (error: unknown) => Error,
): AsyncIterable<Uint8Array> {
  // A client of a store may ignore the signal once the body flows.
  if (signal !== undefined) addAbortSignal(signal, body)
  return readChunks(body, signal, toError)
}

async function* readChunks(
  body: Readable,
  signal: AbortSignal | undefined,
  toError: (error: unknown) => Error,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) yield chunk
  } catch (error) {
    signal?.throwIfAborted()
    throw toError(error)
  }
}
