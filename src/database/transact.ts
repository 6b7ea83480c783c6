import type { Database, OpenTransaction } from './database.ts'

/** Runs a transaction again as a whole when the database asks for it: serialization failure, deadlock, time-out, busy. */
export async function transact<Tx, T>(
  database: Database<Tx>,
  run: (open: OpenTransaction<Tx>) => Promise<T>,
  { attempts = 8 }: { readonly attempts?: number } = {},
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await database.transaction(run)
    } catch (error) {
      if (attempt >= attempts || !database.isTransient(error)) throw error
      const delay = Math.min(10 * 2 ** attempt, 500) * (0.5 + Math.random())
      await new Promise((resolve) => setTimeout(resolve, delay))
    }
  }
}
