/** Lets so many at a time, in the order they came. */
export interface Semaphore {
  readonly limit: number
  /** Resolves when it is the caller's turn. */
  acquire(): Promise<void>
  /** Ends a turn that was taken. */
  release(): void
}

export function createSemaphore(atOnce: number): Semaphore {
  const waiting: (() => void)[] = []
  let left = atOnce
  return {
    limit: atOnce,
    acquire() {
      left -= 1
      return left >= 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))
    },
    release() {
      left += 1
      waiting.shift()?.()
    },
  }
}
