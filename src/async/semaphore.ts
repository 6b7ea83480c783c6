/**
 * A FIFO semaphore: at most `limit` holders at once; the others wait in the order in which they
 * came.
 */
export interface Semaphore {
  readonly limit: number
  /** Resolves when the caller holds a permit. */
  acquire(): Promise<void>
  /** Releases a permit that was acquired. */
  release(): void
}

/** Makes a semaphore with `limit` permits. */
export function createSemaphore(limit: number): Semaphore {
  const waiting: (() => void)[] = []
  let free = limit
  return {
    limit,
    acquire() {
      free -= 1
      return free >= 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))
    },
    release() {
      free += 1
      waiting.shift()?.()
    },
  }
}
