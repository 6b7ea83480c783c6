/** Lets so many at a time, in the order they came. */
export interface Turns {
  readonly atOnce: number
  /** Resolves when it is the caller's turn. */
  take(): Promise<void>
  /** Ends a turn that was taken. */
  give(): void
}

export function turns(atOnce: number): Turns {
  const waiting: (() => void)[] = []
  let left = atOnce
  return {
    atOnce,
    take() {
      left -= 1
      return left >= 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))
    },
    give() {
      left += 1
      waiting.shift()?.()
    },
  }
}
