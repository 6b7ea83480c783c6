import type { Database } from '../../src/adapters.ts'
import type { OpenTransaction } from '../../src/database/database.ts'
import type { Executor, Result } from '../../src/database/executor.ts'

/**
 * Comes between the library and its statements: those on any connection, and those of its own
 * transactions.
 */
export function onEachStatement(
  database: Database<never>,
  each: (sql: string, run: () => Promise<Result>) => Promise<Result>,
): void {
  const watched = (executor: Executor): Executor => ({
    run: (sql, parameters) => each(sql, () => executor.run(sql, parameters)),
  })
  const transaction = database.transaction.bind(database)
  Object.assign(database, {
    executor: watched(database.executor),
    transaction: <T>(run: (open: OpenTransaction<never>) => Promise<T>) =>
      transaction(({ tx, executor }) => run({ tx, executor: watched(executor) })),
  })
}
