import type { Database } from './database.ts'
import { createEndedEarlyError } from './errors.ts'

/** The app's transactions, and the callbacks after their commits. */
export interface AppTransactions<Tx> {
  /** Runs a transaction: see `ActiveStorage.transaction`. */
  run<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Calls `done` after the commit, if `database.afterCommit` or `run` reports it. */
  afterCommit(tx: Tx, done: () => void): void
}

/** Creates the app's transactions. `committed` is called after each commit of `run`. */
export function createAppTransactions<Tx>(
  database: Database<Tx, boolean>,
  committed: () => void,
): AppTransactions<Tx> {
  const open = new Map<Tx, Set<() => void>>()
  return {
    async run(work) {
      // A set, because each change of a transaction asks for the same wake-up.
      const done = new Set<() => void>()
      const checked = async (tx: Tx) => {
        open.set(tx, done)
        try {
          const result = await work(tx)
          if ((await database.hasEnded?.(tx)) === true) throw createEndedEarlyError()
          return result
        } finally {
          open.delete(tx)
        }
      }
      const result = await (database.appTransaction?.(checked) ??
        database.transaction(({ tx }) => checked(tx)))
      for (const each of done.add(committed)) each()
      return result
    },
    afterCommit(tx, done) {
      if (database.afterCommit === undefined) open.get(tx)?.add(done)
      else database.afterCommit(tx, done)
    },
  }
}
