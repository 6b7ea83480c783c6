/** Waits for one promise at a time, until it is interrupted. */
export interface Interruption {
  /** Rejects what is waited for, now and later. The first reason counts. */
  interrupt(reason: unknown): void
  /** Settles as the promise does, or rejects with the reason of the interruption. */
  wait<T>(promise: PromiseLike<T>): Promise<T>
}

/** A loop of `Promise.race` with one lasting promise keeps every result until that promise settles: all bytes of a file. */
export function createInterruption(): Interruption {
  let interrupted: { readonly reason: unknown } | null = null
  let rejectWaiting: ((reason: unknown) => void) | null = null
  return {
    interrupt(reason) {
      interrupted ??= { reason }
      rejectWaiting?.(interrupted.reason)
    },
    async wait<T>(promise: PromiseLike<T>): Promise<T> {
      try {
        return await new Promise<T>((resolve, reject) => {
          rejectWaiting = reject
          promise.then(resolve, reject)
          if (interrupted !== null) reject(interrupted.reason)
        })
      } finally {
        rejectWaiting = null
      }
    },
  }
}
