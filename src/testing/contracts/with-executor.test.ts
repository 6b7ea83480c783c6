import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Database } from '../../database/database.ts'
import type { Executor } from '../../database/executor.ts'
import { sqlite } from '../../database/sqlite.ts'
import { withExecutor } from './with-executor.ts'

/** A database as an author may write it: a class with private state. */
class OwnDatabase implements Database<unknown> {
  readonly #inner = sqlite(':memory:') as Database<never> as Database<unknown>
  readonly findsRecords = false
  readonly writeConcurrency = 1
  get executor(): Executor {
    return this.#inner.executor
  }
  open(): ReturnType<Database<unknown>['open']> {
    return this.#inner.open()
  }
  transaction<T>(...given: Parameters<Database<unknown>['transaction']>): Promise<T> {
    return this.#inner.transaction<T>(...(given as unknown as [() => Promise<T>]))
  }
  join(tx: unknown): Executor {
    return this.#inner.join(tx)
  }
  isTransient(error: unknown): boolean {
    return this.#inner.isTransient(error)
  }
  isUniqueViolation(error: unknown): boolean {
    return this.#inner.isUniqueViolation(error)
  }
  close(): Promise<void> {
    return this.#inner.close()
  }
}

test('a database that is a class keeps its methods beside another executor', async (t) => {
  const executor: Executor = { run: () => Promise.resolve({ rows: [], affected: 7 }) }
  const database = withExecutor(new OwnDatabase(), executor)
  t.after(() => database.close())
  assert.equal(await database.open(), 'sqlite')
  assert.equal(database.isTransient(new Error('of the test')), false)
  assert.equal((await database.executor.run('select 1', [])).affected, 7)
})
