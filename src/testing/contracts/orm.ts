import assert from 'node:assert/strict'
import type { Executor } from '../../database/executor.ts'
import { memory } from '../../services/memory.ts'
import { createActiveStorage } from '../../storage/create-active-storage.ts'
import { faulty } from '../faulty.ts'
import { ormModels, type OpenedOrmApp, type OrmApp, type OrmBehaviour } from './orm-app.ts'
import { testConcurrency } from './orm-concurrency.ts'
import { testDestroy } from './orm-destroy.ts'
import { testDirectAttach } from './orm-direct-attach.ts'
import { testPreload } from './orm-preload.ts'
import { testSave } from './orm-save.ts'
import { testTransactions } from './orm-transactions.ts'
import { testValidation } from './orm-validation.ts'
import { testWorkers } from './orm-workers.ts'
import { runWithTimeLimit } from './time-limit.ts'
import { withExecutor } from './with-executor.ts'

/** Options of `ormContract`. */
export interface OrmContractOptions<Tx> {
  /** `test` of node:test, vitest or Jest. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /**
   * Opens an app on an empty database with the tables `users` and `members`. Run the suite once
   * with one connection in the pool: no call may wait for a second.
   */
  open(): Promise<OrmApp<Tx>>
  /**
   * Milliseconds after which a test fails: statements that wait for each other never end. Default:
   * 20,000.
   */
  readonly timeLimit?: number
  /** true: SQLite, which has one writer. Adds a test of concurrent requests. Default: false. */
  readonly isSqlite?: boolean
}

/**
 * Registers the tests that every binding to an ORM must pass. Run it on a binding of your own.
 *
 * Files of behaviours: save, transactions, validation, destroy, preload, workers, direct attach and
 * concurrency.
 */
export function ormContract<Tx>({
  test,
  open,
  isSqlite = false,
  timeLimit = 20_000,
}: OrmContractOptions<Tx>): void {
  const on: OrmBehaviour<Tx> = (name, behaves) =>
    test(name, async () => {
      const app = await open()
      await runWithTimeLimit(timeLimit, runOn(app, behaves))
    })
  testSave(on)
  testTransactions(on)
  testValidation(on)
  testDestroy(on)
  testPreload(on)
  testWorkers(on)
  testDirectAttach(on)
  if (isSqlite) testConcurrency(on)
}

/** Creates a storage on the app, runs one behaviour, and closes both. */
async function runOn<Tx>(
  app: OrmApp<Tx>,
  behaves: (opened: OpenedOrmApp<Tx>) => Promise<void>,
): Promise<void> {
  const objects = memory()
  const service = { ...faulty(objects), objects: objects.objects }
  let statements = 0
  const executor: Executor = {
    run(sql, parameters) {
      statements += 1
      return app.database.executor.run(sql, parameters)
    },
  }
  const storage = createActiveStorage({
    database: withExecutor(app.database, executor),
    services: { memory: service },
    models: ormModels,
    recordId: app.recordId ?? 'bigint',
    secretKeyBase: 'a secret of the tests',
    retries: { attempts: 1 },
    logger: false,
  })
  app.bind?.(storage)
  async function assertNothing(): Promise<void> {
    await storage.sweep()
    const { pending, running, failed, stagedBytes } = await storage.delayedUploads.stats()
    assert.deepEqual([pending, running, failed, stagedBytes], [0, 0, 0, 0])
  }
  try {
    await storage.migrate()
    await behaves({ app, storage, service, statements: () => statements, assertNothing })
  } finally {
    await storage.close()
    await app.close()
  }
}
