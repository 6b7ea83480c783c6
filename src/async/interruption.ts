/** Waits for promises, one at a time, until it is interrupted. */
export interface Interruption {
  /** Rejects the current wait and all later ones. The first reason counts. */
  interrupt(reason: unknown): void
  /** Settles like the promise, or rejects with the reason of the interruption. */
  wait<T>(promise: PromiseLike<T>): Promise<T>
}

/**
 * Replaces `Promise.race` with a lasting promise, which keeps every result until it settles: in a
 * loop, all bytes of a file.
 */
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
