import type { Knex } from 'knex'
import { ConfigurationError } from '../../errors/errors.ts'
import { patchMethod } from '../patch-method.ts'
import type { RecordTransaction } from '../assigned-files.ts'
import { TransactionLevel } from '../transaction-stack.ts'
import type { TransactionInternals } from './internals.ts'

/**
 * Returns the object that identifies a transaction: Knex passes one transaction as several
 * functions, but with one promise.
 */
const tokenOf = (trx: Knex.Transaction): object => trx.executionPromise

const levels = new WeakMap<object, TransactionLevel>()

/**
 * Returns the level of a transaction or a savepoint, which it watches from the first call on. Then
 * `trx.commit()` rejects if COMMIT fails: Knex rejects only the transaction's promise, which Lucid
 * does not read.
 */
export function watchTransaction(trx: TransactionInternals): TransactionLevel {
  const token = tokenOf(trx)
  const known = levels.get(token)
  if (known !== undefined) return known
  const { parentTransaction: parent } = trx
  const level = new TransactionLevel(parent && watchTransaction(parent), token)
  levels.set(token, level)
  // The promise does not show a commit, because a rollback without an error fulfils it too.
  let isCommitted = false
  patchMethod(
    trx,
    'commit',
    (commit) =>
      async function (...given): Promise<unknown> {
        isCommitted = true
        await commit.call(this, ...given)
        return trx.executionPromise
      },
  )
  trx.executionPromise.then(
    () => (isCommitted ? level.markCommitted() : level.markRolledBack()),
    () => level.markRolledBack(),
  )
  return level
}

/**
 * Calls `done` when the outermost transaction is committed; never at once, and not for a savepoint
 * that is rolled back.
 */
export const afterCommit = (trx: Knex.Transaction, done: () => void): void =>
  watchTransaction(trx).afterCommit(done)

/**
 * Converts a transaction to the form in which files are submitted. `tx` is the app's object for it,
 * if that is not `trx`.
 */
export function toRecordTransaction(trx: Knex.Transaction, tx: unknown = trx): RecordTransaction {
  const level = watchTransaction(trx)
  return { tx, chain: level.chain, afterCommit: (done) => level.afterCommit(done) }
}

/** Returns the transaction itself, or the innermost one around it that is not finished. */
export function openOf(trx: TransactionInternals): Knex.Transaction | undefined {
  if (!trx.isCompleted()) return trx
  return trx.parentTransaction && openOf(trx.parentTransaction)
}

/** Checks whether a value is a transaction of Knex, open or finished. */
export const isTransaction = (value: unknown): value is Knex.Transaction =>
  typeof value === 'function' && Reflect.get(value, 'isTransaction') === true

/** Throws ConfigurationError if `trx` is no transaction, or a finished one. */
export function checkOpen(trx: unknown): void {
  if (!isTransaction(trx))
    throw new ConfigurationError(
      '{ transaction } must be the trx that Knex hands over in db.transaction(…), not db itself.',
    )
  if (trx.isCompleted())
    throw new ConfigurationError(
      "Knex's transaction is finished: nothing more can be written in it. Open a new one.",
    )
}
