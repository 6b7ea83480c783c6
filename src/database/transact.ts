import type { Database, OpenTransaction } from './database.ts'

const TRANSACTION_ATTEMPTS = 8

/** Runs again as a whole what the database asks for: serialization failure, deadlock, lock time-out, busy. */
export async function retryTransient<Tx, T>(
  database: Database<Tx>,
  run: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run()
    } catch (error) {
      if (attempt >= TRANSACTION_ATTEMPTS || !database.isTransient(error)) throw error
      const delay = Math.min(10 * 2 ** attempt, 500) * (0.5 + Math.random())
      await new Promise((resolve) => setTimeout(resolve, delay))
    }
  }
}

/** A transaction of the library's own. */
export function transact<Tx, T>(
  database: Database<Tx>,
  run: (open: OpenTransaction<Tx>) => Promise<T>,
): Promise<T> {
  return retryTransient(database, () => database.transaction(run))
}
