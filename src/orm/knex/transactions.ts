import type { Knex } from 'knex'
import { ConfigurationError } from '../../errors.ts'

/** A savepoint is a transaction in another. */
const parentOf = (trx: Knex.Transaction): Knex.Transaction | undefined =>
  (trx as unknown as { parentTransaction?: Knex.Transaction }).parentTransaction

/** A transaction is several functions, and has one promise. */
const tokenOf = (trx: Knex.Transaction): object => trx.executionPromise

const ends = new WeakMap<object, Promise<boolean>>()

/** Whether it was committed. Its promise alone does not tell: it is fulfilled by a rollback, too, where no error was given. */
function ended(trx: Knex.Transaction): Promise<boolean> {
  const known = ends.get(tokenOf(trx))
  if (known !== undefined) return known
  let isCommitted = false
  const commit = trx.commit
  trx.commit = (value) => {
    isCommitted = true
    return commit(value)
  }
  const end = trx.executionPromise.then(
    () => isCommitted,
    () => false,
  )
  ends.set(tokenOf(trx), end)
  return end
}

/** Savepoints that were released, by what they are in: they are as good as it is. */
const released = new WeakMap<object, object[]>()

/** Itself and what it is nested in, innermost first. */
export function chainOf(trx: Knex.Transaction): readonly object[] {
  const outer = parentOf(trx)
  const token = tokenOf(trx)
  if (outer !== undefined && !ends.has(token))
    void ended(trx).then((isCommitted) => {
      if (isCommitted) released.set(tokenOf(outer), [...(released.get(tokenOf(outer)) ?? []), token, ...(released.get(token) ?? [])])
    })
  return [token, ...(released.get(token) ?? []), ...(outer === undefined ? [] : chainOf(outer))]
}

/** When the outermost is committed; never at once. */
export function afterCommit(trx: Knex.Transaction, done: () => void): void {
  const outer = parentOf(trx)
  if (outer !== undefined) return afterCommit(outer, done)
  void ended(trx).then((isCommitted) => {
    if (isCommitted) done()
  })
}

/** Throws ConfigurationError for what is no open transaction. */
export function checkOpen(trx: Knex.Transaction): void {
  const given = trx as Partial<Knex.Transaction> | undefined
  if (given?.isTransaction !== true)
    throw new ConfigurationError('{ transaction } must be the trx that Knex hands over in db.transaction(…), not db itself.')
  if (given.isCompleted?.() === true) throw new ConfigurationError('The transaction of Knex is over: nothing more can be written in it.')
}
