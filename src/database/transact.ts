import type { Database, OpenTransaction } from './database.ts'

const TRANSACTION_ATTEMPTS = 8

/**
 * Runs `run` again after an error that may pass: serialization failure, deadlock, lock time-out,
 * busy file.
 */
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

/** Runs a transaction of the library's own, again as a whole after an error that may pass. */
export function transact<Tx, T>(
  database: Database<Tx>,
  run: (open: OpenTransaction<Tx>) => Promise<T>,
): Promise<T> {
  return retryTransient(database, () => database.transaction(run))
}
