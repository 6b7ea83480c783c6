import { Transaction, type Sequelize, type TransactionOptions } from 'sequelize'

/** On SQLite, two that read before they write would refuse each other. */
export const begin = <T>(app: Sequelize, options: TransactionOptions, run: (transaction: Transaction) => Promise<T>): Promise<T> =>
  app.transaction(app.getDialect() === 'sqlite' ? { ...options, type: Transaction.TYPES.IMMEDIATE } : options, run)

/** What Sequelize keeps of a transaction, and does not type. */
interface Inside {
  readonly parent?: Transaction | null
  readonly savepoints?: readonly Transaction[]
  readonly finished?: 'commit' | 'rollback'
}
const inside = (transaction: Transaction): Inside => transaction as unknown as Inside

export const isOver = (transaction: Transaction): boolean => inside(transaction).finished !== undefined

/** Savepoints that were released are as good as what they are in. */
const released = (transaction: Transaction): Transaction[] =>
  (inside(transaction).savepoints ?? [])
    .filter((savepoint) => inside(savepoint).finished === 'commit')
    .flatMap((savepoint) => [savepoint, ...released(savepoint)])

/** Itself and what it is nested in, innermost first. */
export function chainOf(transaction: Transaction): readonly Transaction[] {
  const outer = inside(transaction).parent
  return [transaction, ...released(transaction), ...(outer == null ? [] : chainOf(outer))]
}

const root = (transaction: Transaction): Transaction => {
  const outer = inside(transaction).parent
  return outer == null ? transaction : root(outer)
}

const waiting = new WeakMap<Transaction, (() => void)[]>()

/** `Transaction.afterCommit` is called for a commit that failed, too. */
export function afterCommit(transaction: Transaction, done: () => void): void {
  const outermost = root(transaction)
  const list = waiting.get(outermost)
  if (list !== undefined) return void list.push(done)
  const all = [done]
  waiting.set(outermost, all)
  const commit = outermost.commit.bind(outermost)
  outermost.commit = async () => {
    await commit()
    for (const each of all) each()
  }
}

/** The transaction that the app's continuation-local storage holds, where it uses one. */
export const current = (sequelize: Sequelize): Transaction | undefined =>
  (sequelize.constructor as { _cls?: { get(name: 'transaction'): Transaction | undefined } })._cls?.get('transaction') ?? undefined
