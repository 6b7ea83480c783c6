import type { Database } from './database.ts'
import { createEndedEarlyError } from './errors.ts'

/** The app's transactions: what runs in one, and what is to be done after its commit. */
export interface AppTransactions<Tx> {
  /** See `ActiveStorage.transaction`. */
  run<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Calls `done` after the commit, where somebody tells of it: `database.afterCommit`, or the `run` above. */
  afterCommit(tx: Tx, done: () => void): void
}

export function createAppTransactions<Tx>(
  database: Database<Tx, boolean>,
  committed: () => void,
): AppTransactions<Tx> {
  const open = new Map<Tx, (() => void)[]>()
  return {
    async run(work) {
      const done: (() => void)[] = []
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
      for (const each of done) each()
      committed()
      return result
    },
    afterCommit(tx, done) {
      if (database.afterCommit === undefined) open.get(tx)?.push(done)
      else database.afterCommit(tx, done)
    },
  }
}
