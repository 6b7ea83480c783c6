import type { EntityManager, Transaction, TransactionEventArgs } from '@mikro-orm/core'

/** A transaction or a savepoint that is open. */
interface LinkedTransaction {
  readonly outer: LinkedTransaction | undefined
  /** Itself, and the savepoints in it that were released: they are as good as it is. */
  readonly tokens: object[]
  readonly committed: (() => void)[]
  readonly rolledBack: (() => void)[]
}

const linkedByTransaction = new WeakMap<object, LinkedTransaction>()
const outerByManager = new WeakMap<EntityManager, Transaction>()

/** Told by MikroORM, with the same events for transactions and for savepoints. */
export const transactionEvents = {
  beforeTransactionStart({ em, transaction }: TransactionEventArgs): void {
    if (transaction == null) outerByManager.delete(em)
    else outerByManager.set(em, transaction)
  },
  afterTransactionStart({ em, transaction }: TransactionEventArgs): void {
    const outer = outerByManager.get(em)
    outerByManager.delete(em)
    if (transaction != null)
      linkedByTransaction.set(transaction, {
        outer: outer === undefined ? undefined : linkedByTransaction.get(outer),
        tokens: [transaction],
        committed: [],
        rolledBack: [],
      })
  },
  afterTransactionCommit({ transaction }: TransactionEventArgs): void {
    const open = transaction == null ? undefined : linkedByTransaction.get(transaction)
    open?.outer?.tokens.push(...open.tokens)
    open?.outer?.committed.push(...open.committed)
    open?.outer?.rolledBack.push(...open.rolledBack)
    if (open?.outer === undefined) for (const done of open?.committed ?? []) done()
  },
  // Before: a rollback that fails, of a connection that is gone, is one too.
  beforeTransactionRollback({ transaction }: TransactionEventArgs): void {
    const open = transaction == null ? undefined : linkedByTransaction.get(transaction)
    // What was done last is undone first.
    for (const undo of open?.rolledBack.splice(0).toReversed() ?? []) undo()
  },
}

const openOf = (em: EntityManager): LinkedTransaction | undefined => {
  const transaction = em.getTransactionContext<Transaction>()
  return transaction == null ? undefined : linkedByTransaction.get(transaction)
}

/** Innermost first. */
export function chainOf(em: EntityManager): readonly object[] {
  const chain: object[] = []
  for (let open = openOf(em); open !== undefined; open = open.outer) chain.push(...open.tokens)
  return chain
}

/** When the outermost is committed; never at once. */
export const afterCommit = (em: EntityManager, done: () => void): void =>
  void openOf(em)?.committed.push(done)

/** When it is rolled back, or what it is nested in. */
export const afterRollback = (em: EntityManager, undo: () => void): void =>
  void openOf(em)?.rolledBack.push(undo)
