import { Transaction, type Model, type Sequelize, type TransactionOptions } from 'sequelize'
import { isBusy, getHandleQueue, waitBriefly } from '../../database/sqlite-queue.ts'
import { patchMethod } from '../patch-method.ts'
import type { RecordTransaction } from '../assigned-files.ts'
import { TransactionLevel } from '../transaction-stack.ts'
import { readClsTransaction, type TransactionInternals } from './internals.ts'
import { modelOf } from './records.ts'

type RunInTransaction<T> = (transaction: Transaction) => Promise<T>

/** Opens a transaction of the binding's own. */
export const beginTransaction = <T>(
  app: Sequelize,
  options: TransactionOptions,
  run: RunInTransaction<T>,
): Promise<T> =>
  app.getDialect() === 'sqlite' ? beginOnSqlite(app, options, run) : app.transaction(options, run)

/**
 * Milliseconds for which another process, or a transaction of the app, may hold SQLite's write
 * lock.
 */
const BUSY_TIMEOUT_MS = 10_000

/**
 * Runs one transaction after the other: sqlite3 waits for the file's lock in the few threads that
 * all statements of the process need, also the COMMIT that it waits for. IMMEDIATE, because two
 * transactions that read before they write would refuse each other. Only BEGIN is repeated: the
 * caller's function must run once.
 */
function beginOnSqlite<T>(
  app: Sequelize,
  options: TransactionOptions,
  run: RunInTransaction<T>,
): Promise<T> {
  const queue = getHandleQueue(app)
  return queue.run(async () => {
    const until = performance.now() + BUSY_TIMEOUT_MS
    for (;;) {
      let hasBegun = false
      try {
        return await app.transaction(
          { ...options, type: Transaction.TYPES.IMMEDIATE },
          (transaction) => {
            hasBegun = true
            return queue.runInside(() => run(transaction))
          },
        )
      } catch (error) {
        if (hasBegun || !isBusy(error) || performance.now() > until) throw error
        await waitBriefly()
      }
    }
  })
}

/**
 * Runs a statement that writes outside of all transactions. On SQLite it waits for the transactions
 * before it.
 */
export const runWrite = <T>(app: Sequelize, write: () => Promise<T>): Promise<T> =>
  app.getDialect() === 'sqlite' ? getHandleQueue(app).run(write) : write()

/** Checks whether a transaction or a savepoint was committed or rolled back. */
export const isFinished = ({ finished }: TransactionInternals): boolean => finished !== undefined

const levels = new WeakMap<Transaction, TransactionLevel>()

/**
 * Returns the level of a transaction, which it watches from the first call on. Its `commit` and
 * `rollback` are replaced, because Sequelize's own `afterCommit` also runs after a COMMIT that
 * failed and for a savepoint that is only released.
 */
function levelOf(transaction: TransactionInternals): TransactionLevel {
  const known = levels.get(transaction)
  if (known !== undefined) return known
  const { parent } = transaction
  const level = new TransactionLevel(parent == null ? undefined : levelOf(parent), transaction)
  levels.set(transaction, level)
  patchMethod(
    transaction,
    'commit',
    (commit) =>
      async function (): Promise<void> {
        try {
          await commit.call(this)
        } catch (error) {
          level.markRolledBack()
          throw error
        }
        level.markCommitted()
      },
  )
  patchMethod(
    transaction,
    'rollback',
    (rollback) =>
      async function (): Promise<void> {
        try {
          await rollback.call(this)
        } finally {
          level.markRolledBack()
        }
      },
  )
  return level
}

/** Calls `done` when the outermost transaction is committed. */
export const afterCommit = (transaction: Transaction, done: () => void): void =>
  levelOf(transaction).afterCommit(done)

/** Calls `undo` when the transaction, or one that it is nested in, is rolled back. */
export const afterRollback = (transaction: Transaction, undo: () => void): void =>
  levelOf(transaction).afterRollback(undo)

/** Converts a transaction to the form in which files are submitted. */
export function toRecordTransaction(transaction: Transaction): RecordTransaction {
  const level = levelOf(transaction)
  return {
    tx: transaction,
    chain: level.chain,
    afterCommit: (done) => level.afterCommit(done),
    isActive: () => !isFinished(transaction),
  }
}

const rememberedIn = new WeakMap<Model, Transaction>()

/**
 * Remembers the transaction that a record was read or saved in, in which the handles of the record
 * act. undefined: none.
 */
export function rememberTransaction(record: Model, transaction: Transaction | undefined): void {
  if (transaction === undefined) rememberedIn.delete(record)
  else rememberedIn.set(record, transaction)
}

/**
 * Returns the transaction that a record was last read or saved in, else the innermost one around it
 * that is open, else that of the app's CLS.
 */
export function transactionOf(record: Model): Transaction | undefined {
  let transaction: TransactionInternals | null | undefined = rememberedIn.get(record)
  while (transaction != null && isFinished(transaction)) transaction = transaction.parent
  if (transaction != null) return transaction
  const { sequelize } = modelOf(record)
  return sequelize === undefined ? undefined : readClsTransaction(sequelize)
}

/**
 * An option of nearly every call of Sequelize. null: outside of any transaction, also of the app's
 * CLS.
 */
export interface TransactionOption {
  readonly transaction?: Transaction | null | undefined
}

/** Returns the transaction that a call runs in: that of its options, else that of the app's CLS. */
export const openOf = (
  sequelize: Sequelize,
  options: TransactionOption | undefined,
): Transaction | undefined =>
  options?.transaction === undefined
    ? readClsTransaction(sequelize)
    : (options.transaction ?? undefined)
