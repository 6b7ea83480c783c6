import type { Turns } from '../turns.ts'

/** The statements that write one file, each in its turn. */
export interface Statements {
  /** Resolves with the statement's result. */
  run<T>(statement: () => Promise<T>): Promise<T>
  /** Resolves when another may be begun: inside a transaction, when this one is done. Rejects with what went wrong. */
  begin(statement: () => Promise<unknown>): Promise<void>
  /** Resolves when none is on its way any more; rejects with the first thing that went wrong. */
  end(): Promise<void>
  /** How many have had their effect. */
  readonly written: number
  readonly failed: boolean
}

export function statements(turns: Turns): Statements {
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
      turns.give()
    }
  }
  const ignore = (): void => undefined
  const check = (): void => {
    if (failure !== undefined) throw failure.error
  }
  return {
    async run(statement) {
      await turns.take()
      return inTurn(statement)
    },
    async begin(statement) {
      await turns.take()
      const one: Promise<void> = inTurn(statement)
        .then(ignore, ignore)
        .finally(() => inFlight.delete(one))
      inFlight.add(one)
      if (inFlight.size >= turns.atOnce) await Promise.race(inFlight)
      check()
    },
    async end() {
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
