import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds in which what was told to stop gives itself back. */
export const STOP_GRACE_MS = 2_000

/** Whether it ends in so many milliseconds; what does not is left to itself. Rejects as it does. */
export async function endsWithin(
  running: Promise<unknown>,
  milliseconds: number,
): Promise<boolean> {
  const over = new AbortController()
  const late = delay(milliseconds, false, { signal: over.signal }).catch(() => false)
  return Promise.race([running.then(() => true), late]).finally(() => over.abort())
}

/** Waits for what ends: whatever does not end well, or not in time, must neither end the process nor keep it. */
export function endsQuietly(
  report: (message: string, error: unknown) => void,
): (what: string, running: Promise<unknown> | undefined, milliseconds: number) => Promise<void> {
  return async (what, running, milliseconds) => {
    const error = await endsWithin(Promise.resolve(running), milliseconds).then(
      (isOver) => (isOver ? null : new Error('It takes too long.')),
      (thrown: unknown) => thrown,
    )
    if (error !== null) report(`${what} did not end well.`, error)
  }
}
