import type { EntityManager, Transaction, TransactionEventArgs } from '@mikro-orm/core'

/** A transaction or a savepoint that is open. */
interface Open {
  readonly outer: Open | undefined
  /** Itself, and the savepoints in it that were released: they are as good as it is. */
  readonly tokens: object[]
  readonly done: (() => void)[]
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
      opened.set(transaction, { outer: outer === undefined ? undefined : opened.get(outer), tokens: [transaction], done: [] })
  },
  afterTransactionCommit({ transaction }: TransactionEventArgs): void {
    const open = transaction == null ? undefined : opened.get(transaction)
    open?.outer?.tokens.push(...open.tokens)
    open?.outer?.done.push(...open.done)
    if (open?.outer === undefined) for (const done of open?.done ?? []) done()
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
export const afterCommit = (em: EntityManager, done: () => void): void => void openOf(em)?.done.push(done)
