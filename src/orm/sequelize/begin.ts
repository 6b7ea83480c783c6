import { Transaction, type Sequelize, type TransactionOptions } from 'sequelize'
import { isBusy, sqliteTurns, untilFree } from '../../database/sqlite-turns.ts'

type Run<T> = (transaction: Transaction) => Promise<T>

/** Opens a transaction of the binding's own. */
export const begin = <T>(app: Sequelize, options: TransactionOptions, run: Run<T>): Promise<T> =>
  app.getDialect() === 'sqlite' ? beginInTurn(app, options, run) : app.transaction(options, run)

/** Milliseconds. Another process, or a transaction of the app's own, may write that long. */
const WAIT = 10_000

/**
 * One after the other: sqlite3 waits for the file in the few threads that all of a process' statements need, also the COMMIT that is
 * waited for. IMMEDIATE, because two that read before they write would refuse each other. Only BEGIN is tried again.
 */
function beginInTurn<T>(app: Sequelize, options: TransactionOptions, run: Run<T>): Promise<T> {
  const turns = sqliteTurns(app)
  return turns.take(async () => {
    const until = performance.now() + WAIT
    for (;;) {
      let hasBegun = false
      try {
        return await app.transaction(
          { ...options, type: Transaction.TYPES.IMMEDIATE },
          (transaction) => {
            hasBegun = true
            return turns.within(() => run(transaction))
          },
        )
      } catch (error) {
        if (hasBegun || !isBusy(error) || performance.now() > until) throw error
        await untilFree()
      }
    }
  })
}

/** A statement that writes, outside of all transactions. */
export const inTurn = <T>(app: Sequelize, write: () => Promise<T>): Promise<T> =>
  app.getDialect() === 'sqlite' ? sqliteTurns(app).take(write) : write()
