import type { Semaphore } from '../async/semaphore.ts'

/** The statements that write one file, limited together with those of other files. */
export interface ConcurrentWrites {
  /** Runs a statement when a permit is free, and returns its result. */
  run<T>(statement: () => Promise<T>): Promise<T>
  /**
   * Starts a statement, and resolves when the next one may start. Rejects with the first error of
   * earlier statements.
   */
  start(statement: () => Promise<unknown>): Promise<void>
  /** Waits for all statements. Rejects with the first error. */
  drain(): Promise<void>
  /** Number of statements that succeeded. */
  readonly written: number
  /** Whether a statement has failed. */
  readonly failed: boolean
}

/** Creates the writes of one file. Each statement holds a permit of `permits` while it runs. */
export function createConcurrentWrites(permits: Semaphore): ConcurrentWrites {
  const inFlight = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  let written = 0
  const runPermitted = async <T>(statement: () => Promise<T>): Promise<T> => {
    try {
      const result = await statement()
      written += 1
      return result
    } catch (error) {
      failure ??= { error }
      throw error
    } finally {
      permits.release()
    }
  }
  const ignore = (): void => undefined
  const check = (): void => {
    if (failure !== undefined) throw failure.error
  }
  return {
    async run(statement) {
      await permits.acquire()
      return runPermitted(statement)
    },
    async start(statement) {
      await permits.acquire()
      const one: Promise<void> = runPermitted(statement)
        .then(ignore, ignore)
        .finally(() => inFlight.delete(one))
      inFlight.add(one)
      if (inFlight.size >= permits.limit) await Promise.race(inFlight)
      check()
    },
    async drain() {
      await Promise.all(inFlight)
      check()
    },
    get written() {
      return written
    },
    get failed() {
      return failure !== undefined
    },
  }
}
