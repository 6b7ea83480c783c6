import type { Semaphore } from '../async/semaphore.ts'

/** The statements that write one file, each in its turn. */
export interface ConcurrentWrites {
  /** Resolves with the statement's result. */
  run<T>(statement: () => Promise<T>): Promise<T>
  /** Resolves when another may be begun: inside a transaction, when this one is done. Rejects with what went wrong. */
  start(statement: () => Promise<unknown>): Promise<void>
  /** Resolves when none is on its way any more; rejects with the first thing that went wrong. */
  drain(): Promise<void>
  /** How many have had their effect. */
  readonly written: number
  readonly failed: boolean
}

export function createConcurrentWrites(turns: Semaphore): ConcurrentWrites {
  const inFlight = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  let written = 0
  const inTurn = async <T>(statement: () => Promise<T>): Promise<T> => {
    try {
      const result = await statement()
      written += 1
      return result
    } catch (error) {
      failure ??= { error }
      throw error
    } finally {
      turns.release()
    }
  }
  const ignore = (): void => undefined
  const check = (): void => {
    if (failure !== undefined) throw failure.error
  }
  return {
    async run(statement) {
      await turns.acquire()
      return inTurn(statement)
    },
    async start(statement) {
      await turns.acquire()
      const one: Promise<void> = inTurn(statement)
        .then(ignore, ignore)
        .finally(() => inFlight.delete(one))
      inFlight.add(one)
      if (inFlight.size >= turns.limit) await Promise.race(inFlight)
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
