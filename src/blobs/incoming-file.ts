import { Readable } from 'node:stream'
import { ActiveStorageError, InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { createInterruption } from '../async/interruption.ts'
import { messageOf } from '../errors/message.ts'
import { toPublicMessage } from '../errors/public-message.ts'
import { isBytes } from './byte-stream.ts'

/** Bytes with a name, as they come in. */
export interface IncomingFile {
  readonly filename: string
  readonly declaredType?: string | undefined
  open(): AsyncIterable<Uint8Array>
}

/** The bytes of a file, until the signal. What goes wrong with them is told with the file's name. */
export function readIncomingFile(
  file: IncomingFile,
  details: ErrorDetails,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  return stopOnAbort(readSource(file, details, signal), signal)
}

/** A source that breaks off is the input's fault, and is told with the file's name. */
async function* readSource(
  file: IncomingFile,
  details: ErrorDetails,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let source: AsyncIterable<Uint8Array> | undefined
  const destroy = (): void => void (source instanceof Readable && source.destroy())
  signal?.addEventListener('abort', destroy, { once: true })
  try {
    // A path that Node refuses is told here.
    source = file.open()
    for await (const piece of source) {
      if (!isBytes(piece))
        throw new InvalidInputError(
          `${details.filename} yields ${typeof piece}, not bytes. Hand over a binary stream (no encoding set).`,
          {
            details,
          },
        )
      yield piece
    }
  } catch (error) {
    if (error instanceof ActiveStorageError) throw error
    throw new InvalidInputError(
      `${details.filename} could not be read to its end: ${messageOf(error)}. Nothing was kept of it.`,
      {
        details,
        cause: error,
        publicMessage: toPublicMessage('INTEGRITY', details),
      },
    )
  } finally {
    signal?.removeEventListener('abort', destroy)
  }
}

/** A source that has stopped must not hold what was given up: its next piece is waited for only until the signal. */
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
    // Not awaited: it would wait for the piece that does not come.
    source.return(undefined).catch(() => undefined)
  }
}
