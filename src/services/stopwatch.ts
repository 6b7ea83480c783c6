/** Counts the time between `start` and `pause`. */
export interface Stopwatch {
  /** Starts, or goes on after a pause. */
  start(): void
  /** Stops counting until `start`. */
  pause(): void
  /**
   * Counts from 0 again, up to the usual limit or to another. A running stopwatch goes on running.
   */
  renew(milliseconds?: number): void
  /** Ends the stopwatch: `onLimit` is not called any more. */
  stop(): void
}

/**
 * Makes a paused stopwatch that calls `onLimit` once, when it has run for this time, pauses not
 * counted. `now` is a monotonic clock in milliseconds; it is for tests.
 */
export function createStopwatch(
  milliseconds: number,
  onLimit: () => void,
  now: () => number = () => performance.now(),
): Stopwatch {
  let left = milliseconds
  let startedAt: number | null = null
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const pause = (): void => {
    if (startedAt === null) return
    clearTimeout(timer)
    left = Math.max(0, left - (now() - startedAt))
    startedAt = null
  }
  const start = (): void => {
    if (isStopped || startedAt !== null) return
    startedAt = now()
    timer = setTimeout(() => {
      isStopped = true
      onLimit()
    }, left)
  }
  return {
    start,
    pause,
    renew(limit = milliseconds) {
      const isRunning = startedAt !== null
      pause()
      left = limit
      if (isRunning) start()
    },
    stop() {
      isStopped = true
      pause()
    },
  }
}
