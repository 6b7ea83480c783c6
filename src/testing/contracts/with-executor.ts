import type { Database } from '../../database/database.ts'
import type { Executor } from '../../database/executor.ts'

/**
 * Returns the database with another executor. It calls all other members on `database` itself,
 * because they may be methods of a class.
 */
export function withExecutor<Tx>(
  database: Database<Tx, boolean>,
  executor: Executor,
): Database<Tx, boolean> {
  return new Proxy(database, {
    get(target, name) {
      if (name === 'executor') return executor
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}
