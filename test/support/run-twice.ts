import type { Database } from '../../src/adapters.ts'

/**
 * Returns a database on which the first run of each transaction that `when` accepts is rolled back
 * by an error that may pass, so that it is run again. `when` gets the statements of that run.
 */
export function runTwice(
  database: Database<never>,
  when: (statements: readonly string[]) => boolean,
): Database<never> {
  const rolledBack = Object.assign(new Error('a deadlock of the test'), { code: 'TEST_DEADLOCK' })
  let isSecond = false
  return {
    ...database,
    isTransient: (error) => error === rolledBack || database.isTransient(error),
    transaction: (run) =>
      database.transaction(async ({ tx, executor }) => {
        const statements: string[] = []
        const result = await run({
          tx,
          executor: {
            run(sql, parameters) {
              statements.push(sql)
              return executor.run(sql, parameters)
            },
          },
        })
        isSecond = !isSecond && when(statements)
        if (isSecond) throw rolledBack
        return result
      }),
  }
}
