import assert from 'node:assert/strict'
import type { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { Database, Dialect, OpenTransaction } from '../../database/database.ts'
import type { Executor } from '../../database/executor.ts'
import { sqlite } from '../../database/sqlite.ts'
import { withExecutor } from './with-executor.ts'

/** A database as an author may write it: a class with private state. */
class OwnDatabase implements Database<DatabaseSync> {
  readonly #inner = sqlite(':memory:')
  readonly findsRecords = false
  readonly writeConcurrency = 1
  get executor(): Executor {
    return this.#inner.executor
  }
  open(): Promise<Dialect> {
    return this.#inner.open()
  }
  transaction<T>(run: (open: OpenTransaction<DatabaseSync>) => Promise<T>): Promise<T> {
    return this.#inner.transaction(run)
  }
  join(tx: DatabaseSync): Executor {
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
