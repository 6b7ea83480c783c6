import type { EntityManager, Transaction, TransactionEventArgs } from '@mikro-orm/core'

/** A transaction or a savepoint that is open. */
interface Open {
  readonly outer: Open | undefined
  /** Itself, and the savepoints in it that were released: they are as good as it is. */
  readonly tokens: object[]
  readonly committed: (() => void)[]
  readonly rolledBack: (() => void)[]
}

const opened = new WeakMap<object, Open>()
const beginsIn = new WeakMap<EntityManager, Transaction>()

/** Told by MikroORM, with the same events for transactions and for savepoints. */
export const transactionEvents = {
  beforeTransactionStart({ em, transaction }: TransactionEventArgs): void {
    if (transaction == null) beginsIn.delete(em)
    else beginsIn.set(em, transaction)
  },
  afterTransactionStart({ em, transaction }: TransactionEventArgs): void {
    const outer = beginsIn.get(em)
    beginsIn.delete(em)
    if (transaction != null)
      opened.set(transaction, {
        outer: outer === undefined ? undefined : opened.get(outer),
        tokens: [transaction],
        committed: [],
        rolledBack: [],
      })
  },
  afterTransactionCommit({ transaction }: TransactionEventArgs): void {
    const open = transaction == null ? undefined : opened.get(transaction)
    open?.outer?.tokens.push(...open.tokens)
    open?.outer?.committed.push(...open.committed)
    open?.outer?.rolledBack.push(...open.rolledBack)
    if (open?.outer === undefined) for (const done of open?.committed ?? []) done()
  },
  // Before: a rollback that fails, of a connection that is gone, is one too.
  beforeTransactionRollback({ transaction }: TransactionEventArgs): void {
    const open = transaction == null ? undefined : opened.get(transaction)
    // What was done last is undone first.
    for (const undo of open?.rolledBack.splice(0).toReversed() ?? []) undo()
  },
}

const openOf = (em: EntityManager): Open | undefined => {
  const transaction = em.getTransactionContext<Transaction>()
  return transaction == null ? undefined : opened.get(transaction)
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
