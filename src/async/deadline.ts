import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds after a stop for running work to release what it holds. */
export const STOP_GRACE_MS = 2_000

/**
 * Resolves to true if `running` ended within the milliseconds. Rejects if `running` rejects within
 * them.
 */
export async function endsWithin(
  running: Promise<unknown>,
  milliseconds: number,
): Promise<boolean> {
  const over = new AbortController()
  const late = delay(milliseconds, false, { signal: over.signal }).catch(() => false)
  return Promise.race([running.then(() => true), late]).finally(() => over.abort())
}

/**
 * Waits until `running` ends. A failure or a timeout goes to `onError`: neither may end the
 * process, nor keep it alive.
 */
export async function waitQuietly(
  running: Promise<unknown> | undefined,
  milliseconds: number,
  onError: (error: unknown) => void,
): Promise<void> {
  try {
    if (!(await endsWithin(Promise.resolve(running), milliseconds)))
      onError(new Error('It took too long.'))
  } catch (error) {
    onError(error)
  }
}
