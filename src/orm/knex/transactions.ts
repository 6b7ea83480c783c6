import type { Knex } from 'knex'
import { ConfigurationError } from '../../errors/errors.ts'

/** A savepoint is a transaction in another. */
const parentOf = (trx: Knex.Transaction): Knex.Transaction | undefined =>
  (trx as unknown as { parentTransaction?: Knex.Transaction }).parentTransaction

/** A transaction is several functions, and has one promise. */
const tokenOf = (trx: Knex.Transaction): object => trx.executionPromise

/** A transaction or a savepoint. */
interface WatchedTransaction {
  readonly outer: WatchedTransaction | undefined
  /** Itself, and the savepoints in it that were released: they are as good as it is. */
  readonly tokens: object[]
  readonly done: (() => void)[]
}

const watchedTransactions = new WeakMap<object, WatchedTransaction>()

/** From here on, `trx.commit` fails where COMMIT does: Knex tells that by the transaction's promise alone, which Lucid does not read. */
export function watchTransaction(trx: Knex.Transaction): WatchedTransaction {
  const token = tokenOf(trx)
  const known = watchedTransactions.get(token)
  if (known !== undefined) return known
  const parent = parentOf(trx)
  const outer = parent === undefined ? undefined : watchTransaction(parent)
  const tokens = [token]
  const done: (() => void)[] = []
  const result = { outer, tokens, done }
  watchedTransactions.set(token, result)
  // The promise alone does not tell: it is fulfilled by a rollback, too, where no error was given.
  let isCommitted = false
  const commit = trx.commit
  trx.commit = ((value: unknown) => {
    isCommitted = true
    return commit(value).then(() => trx.executionPromise)
  }) as typeof commit
  trx.executionPromise.then(
    () => {
      if (!isCommitted) return
      outer?.tokens.push(...tokens)
      outer?.done.push(...done)
      if (outer === undefined) for (const each of done) each()
    },
    () => undefined,
  )
  return result
}

/** Innermost first. */
export function chainOf(trx: Knex.Transaction): readonly object[] {
  const chain: object[] = []
  for (
    let at: WatchedTransaction | undefined = watchTransaction(trx);
    at !== undefined;
    at = at.outer
  )
    chain.push(...at.tokens)
  return chain
}

/** When the outermost is committed; never at once, and not at all for a savepoint that is rolled back. */
export const afterCommit = (trx: Knex.Transaction, done: () => void): void =>
  void watchTransaction(trx).done.push(done)

/** The transaction itself, or the innermost that it is nested in and that is not over. */
export function openOf(trx: Knex.Transaction): Knex.Transaction | undefined {
  const outer = parentOf(trx)
  return trx.isCompleted() ? outer && openOf(outer) : trx
}

/** Throws ConfigurationError for what is no open transaction. */
export function checkOpen(trx: Knex.Transaction): void {
  const given = trx as Partial<Knex.Transaction> | undefined
  if (given?.isTransaction !== true)
    throw new ConfigurationError(
      '{ transaction } must be the trx that Knex hands over in db.transaction(…), not db itself.',
    )
  if (given.isCompleted?.() === true)
    throw new ConfigurationError(
      'The transaction of Knex is over: nothing more can be written in it.',
    )
}
