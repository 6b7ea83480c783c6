/** Counts the time that something is waited for, and no other. */
export interface Stopwatch {
  start(): void
  pause(): void
  /** Counts from the beginning, up to the usual limit or to another. */
  renew(milliseconds?: number): void
  /** Ends it: `late` is not called any more. */
  stop(): void
}

/** Calls `late` when it has run for so long, without its pauses. */
export function createStopwatch(milliseconds: number, late: () => void): Stopwatch {
  let left = milliseconds
  let since: number | null = null
  let timer: NodeJS.Timeout | undefined
  let over = false
  const pause = (): void => {
    if (since === null) return
    clearTimeout(timer)
    left = Math.max(0, left - (performance.now() - since))
    since = null
  }
  const start = (): void => {
    if (over || since !== null) return
    since = performance.now()
    timer = setTimeout(() => {
      over = true
      late()
    }, left)
  }
  return {
    start,
    pause,
    renew(limit = milliseconds) {
      const isRunning = since !== null
      pause()
      left = limit
      if (isRunning) start()
    },
    stop() {
      over = true
      pause()
    },
  }
}
