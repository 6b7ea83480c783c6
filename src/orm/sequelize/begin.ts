import { Transaction, type Sequelize, type TransactionOptions } from 'sequelize'
import { isBusy, getHandleQueue, waitBriefly } from '../../database/sqlite-queue.ts'

type RunInTransaction<T> = (transaction: Transaction) => Promise<T>

/** Opens a transaction of the binding's own. */
export const beginTransaction = <T>(
  app: Sequelize,
  options: TransactionOptions,
  run: RunInTransaction<T>,
): Promise<T> =>
  app.getDialect() === 'sqlite' ? beginOnSqlite(app, options, run) : app.transaction(options, run)

/** Milliseconds. Another process, or a transaction of the app's own, may write that long. */
const BUSY_TIMEOUT_MS = 10_000

/**
 * One after the other: sqlite3 waits for the file in the few threads that all of a process' statements need, also the COMMIT that is
 * waited for. IMMEDIATE, because two that read before they write would refuse each other. Only BEGIN is tried again.
 */
function beginOnSqlite<T>(
  app: Sequelize,
  options: TransactionOptions,
  run: RunInTransaction<T>,
): Promise<T> {
  const turns = getHandleQueue(app)
  return turns.run(async () => {
    const until = performance.now() + BUSY_TIMEOUT_MS
    for (;;) {
      let hasBegun = false
      try {
        return await app.transaction(
          { ...options, type: Transaction.TYPES.IMMEDIATE },
          (transaction) => {
            hasBegun = true
            return turns.runInside(() => run(transaction))
          },
        )
      } catch (error) {
        if (hasBegun || !isBusy(error) || performance.now() > until) throw error
        await waitBriefly()
      }
    }
  })
}

/** A statement that writes, outside of all transactions. */
export const runWrite = <T>(app: Sequelize, write: () => Promise<T>): Promise<T> =>
  app.getDialect() === 'sqlite' ? getHandleQueue(app).run(write) : write()
