import type { EntityManager, Transaction, TransactionEventArgs } from '@mikro-orm/core'
import { TransactionLevel } from '../transaction-stack.ts'

const levels = new WeakMap<Transaction, TransactionLevel>()

/** The transaction that a manager begins its next savepoint in. */
const outerByManager = new WeakMap<EntityManager, Transaction>()

/** Follows MikroORM's transactions. It has the same events for transactions and for savepoints. */
export const transactionEvents = {
  beforeTransactionStart({ em, transaction }: TransactionEventArgs): void {
    if (transaction == null) outerByManager.delete(em)
    else outerByManager.set(em, transaction)
  },
  afterTransactionStart({ em, transaction }: TransactionEventArgs): void {
    const outer = outerByManager.get(em)
    outerByManager.delete(em)
    if (transaction != null)
      levels.set(transaction, new TransactionLevel(outer && levels.get(outer), transaction))
  },
  afterTransactionCommit({ transaction }: TransactionEventArgs): void {
    if (transaction != null) levels.get(transaction)?.markCommitted()
  },
  // The event before the rollback is used, because a rollback that fails for a lost connection is a
  // rollback too.
  beforeTransactionRollback({ transaction }: TransactionEventArgs): void {
    if (transaction != null) levels.get(transaction)?.markRolledBack()
  },
}

/** Returns the innermost level that is open in a manager. */
export function levelOf(em: EntityManager): TransactionLevel | undefined {
  const transaction = em.getTransactionContext<Transaction>()
  return transaction == null ? undefined : levels.get(transaction)
}

/** Calls `done` when the outermost transaction of a manager is committed. */
export const afterCommit = (em: EntityManager, done: () => void): void =>
  levelOf(em)?.afterCommit(done)
