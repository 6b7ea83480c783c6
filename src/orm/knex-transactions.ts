import type { Knex } from 'knex'

/** A savepoint is a transaction in another. */
const parentOf = (trx: Knex.Transaction): Knex.Transaction | undefined =>
  (trx as unknown as { parentTransaction?: Knex.Transaction }).parentTransaction

/** Savepoints that were released, by what they are in: they are as good as it is. */
const released = new WeakMap<object, object[]>()
const watched = new WeakSet<object>()

/** A transaction has several functions; its promise is one. */
const tokenOf = (trx: Knex.Transaction): object => trx.executionPromise

/** Itself and what it is nested in, innermost first. */
export function chainOf(trx: Knex.Transaction): readonly object[] {
  const outer = parentOf(trx)
  const token = tokenOf(trx)
  if (outer !== undefined && !watched.has(token)) {
    watched.add(token)
    trx.executionPromise.then(
      () => released.set(tokenOf(outer), [...(released.get(tokenOf(outer)) ?? []), token, ...(released.get(token) ?? [])]),
      () => undefined,
    )
  }
  return [token, ...(released.get(token) ?? []), ...(outer === undefined ? [] : chainOf(outer))]
}

/** When the outermost is committed; never at once. */
export function afterCommit(trx: Knex.Transaction, done: () => void): void {
  const outer = parentOf(trx)
  if (outer !== undefined) return afterCommit(outer, done)
  trx.executionPromise.then(done, () => undefined)
}
