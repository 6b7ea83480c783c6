import { createInterruption } from '../async/interruption.ts'
import { ServiceUnavailableError } from '../errors/errors.ts'
import { ABORT_GRACE_MS, type CallLimit } from './run-with-limit.ts'
import { toUnavailableError } from './outages.ts'
import { createStopwatch, type Stopwatch } from './stopwatch.ts'

/** Renews the stopwatch each time that `bytes` more bytes have moved. */
export function countProgress(clock: Stopwatch, bytes: number): (count: number) => void {
  let moved = 0
  return (count) => {
    moved += count
    if (moved < bytes) return
    moved = 0
    clock.renew()
  }
}

/** Clock, signal and progress of a watched upload. */
export interface UploadWatch {
  readonly clock: Stopwatch
  readonly signal: AbortSignal
  /** Called with the size of each piece that the service took. */
  moved(count: number): void
}

/**
 * Passes an upload's bytes on, in pieces of at most `size` bytes so that slow progress shows. The
 * clock is paused while the next bytes are read. An aborted call gets no more bytes.
 */
export async function* watchUpload(
  body: AsyncIterable<Uint8Array>,
  { clock, signal, moved }: UploadWatch,
  size: number,
): AsyncGenerator<Uint8Array> {
  clock.pause()
  try {
    for await (const chunk of body) {
      clock.start()
      for (let at = 0; at < chunk.length; at += size) {
        const piece = chunk.subarray(at, at + size)
        signal.throwIfAborted()
        yield piece
        moved(piece.length)
      }
      signal.throwIfAborted()
      clock.pause()
    }
    // The service's response has a stretch of time of its own.
    clock.renew()
  } finally {
    clock.start()
  }
}

/**
 * Passes a download's bytes on. The clock is paused while the reader works on them. When the limit
 * has passed, `transfer` is aborted and the reader gets ServiceUnavailableError.
 */
export async function* watchDownload(
  bytes: AsyncIterable<Uint8Array>,
  { name, limitMs, signal, late }: CallLimit,
  size: number,
  transfer: AbortController,
): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]()
  const { interrupt, wait } = createInterruption()
  const clock = createStopwatch(limitMs, () => {
    const error = new ServiceUnavailableError(late)
    transfer.abort(error)
    interrupt(error)
  })
  const onAbort = (): void => interrupt(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const moved = countProgress(clock, size)
  let isFinished = false
  try {
    for (;;) {
      signal?.throwIfAborted()
      clock.start()
      const next = await wait(iterator.next()).catch((error: unknown) => {
        isFinished = true
        throw toUnavailableError(error, name)
      })
      clock.pause()
      if (next.done === true) {
        isFinished = true
        return
      }
      moved(next.value.length)
      yield next.value
    }
  } finally {
    clock.stop()
    signal?.removeEventListener('abort', onAbort)
    // The reader left early: the service cleans up, but may hang, so it is not waited for without a
    // limit.
    if (!isFinished)
      await Promise.race([
        iterator.return?.(),
        new Promise((resolve) => setTimeout(resolve, ABORT_GRACE_MS).unref()),
      ])
  }
}
