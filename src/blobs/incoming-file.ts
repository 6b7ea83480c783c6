import { Readable } from 'node:stream'
import { createInterruption } from '../async/interruption.ts'
import { ActiveStorageError, InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { toPublicMessage } from '../errors/public-message.ts'
import { isBytes } from './byte-stream.ts'

/** A file of an app or a form: a name, and bytes that are read once. */
export interface IncomingFile {
  readonly filename: string
  /** Content type that the client declared. */
  readonly declaredType?: string | undefined
  /** Opens the bytes. May throw, such as for a path that Node refuses. */
  open(): AsyncIterable<Uint8Array>
}

/**
 * Reads the bytes of a file. Throws InvalidInputError with the file's name when its source fails or
 * yields no bytes, and the signal's reason when it aborts.
 */
export function readIncomingFile(
  file: IncomingFile,
  details: ErrorDetails,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  return stopOnAbort(readSource(file, details, signal), signal)
}

/** Turns errors of the source into InvalidInputError, because the input is at fault. */
async function* readSource(
  file: IncomingFile,
  details: ErrorDetails,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let source: AsyncIterable<Uint8Array> | undefined
  const destroy = (): void => void (source instanceof Readable && source.destroy())
  signal?.addEventListener('abort', destroy, { once: true })
  try {
    source = file.open()
    for await (const piece of source) {
      if (!isBytes(piece))
        throw new InvalidInputError(
          `${details.filename} yields ${typeof piece}, not bytes. Pass a binary stream (no encoding set).`,
          { details },
        )
      yield piece
    }
  } catch (error) {
    if (error instanceof ActiveStorageError) throw error
    throw new InvalidInputError(
      `${details.filename} could not be read to its end: ${messageOf(error)}. Nothing of it was kept.`,
      { details, cause: error, publicMessage: toPublicMessage('INTEGRITY', details) },
    )
  } finally {
    signal?.removeEventListener('abort', destroy)
  }
}

/**
 * Stops waiting for the next piece when the signal aborts: the source may have stopped without an
 * end.
 */
async function* stopOnAbort(
  source: AsyncGenerator<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (signal === undefined) return yield* source
  const { interrupt, wait } = createInterruption()
  const abort = (): void => interrupt(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    signal.throwIfAborted()
    for (;;) {
      const next = await wait(source.next())
      if (next.done === true) return
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    // The end is not awaited, because it would wait for the piece that does not come.
    source.return(undefined).catch(() => undefined)
  }
}
