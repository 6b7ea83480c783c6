import type { Transaction, Model, ModelStatic, Sequelize } from 'sequelize'

/** What Sequelize keeps of a transaction, and does not type. */
interface Inside {
  readonly parent?: Transaction | null
  readonly savepoints?: readonly Transaction[]
  readonly finished?: 'commit' | 'rollback'
}
const inside = (transaction: Transaction): Inside => transaction as unknown as Inside

export const isOver = (transaction: Transaction): boolean =>
  inside(transaction).finished !== undefined

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

/** What is to be called when a transaction or a savepoint ends. */
interface Ends {
  readonly committed: (() => void)[]
  readonly rolledBack: (() => void)[]
}
const ends = new WeakMap<Transaction, Ends>()

/** `Transaction.afterCommit` is called for a commit that failed, too, and for a savepoint that is only released. */
function endsOf(transaction: Transaction): Ends {
  const known = ends.get(transaction)
  if (known !== undefined) return known
  const own: Ends = { committed: [], rolledBack: [] }
  ends.set(transaction, own)
  const [commit, rollback] = [
    transaction.commit.bind(transaction),
    transaction.rollback.bind(transaction),
  ]
  // What was done last is undone first.
  const undo = (): void => own.rolledBack.toReversed().forEach((each) => each())
  transaction.commit = async () => {
    try {
      await commit()
    } catch (error) {
      undo()
      throw error
    }
    const outer = inside(transaction).parent
    if (outer == null) return own.committed.forEach((each) => each())
    endsOf(outer).committed.push(...own.committed)
    endsOf(outer).rolledBack.push(...own.rolledBack)
  }
  transaction.rollback = async () => {
    try {
      await rollback()
    } finally {
      undo()
    }
  }
  return own
}

/** When the outermost is committed. */
export const afterCommit = (transaction: Transaction, done: () => void): void =>
  void endsOf(transaction).committed.push(done)

/** When it is rolled back, or what it is nested in. */
export const afterRollback = (transaction: Transaction, undo: () => void): void =>
  void endsOf(transaction).rolledBack.push(undo)

const readIn = new WeakMap<Model, Transaction>()

/** A record acts in the transaction that it was read or saved in. */
export function keepTransaction(record: Model, transaction: Transaction | undefined): void {
  if (transaction === undefined) readIn.delete(record)
  else readIn.set(record, transaction)
}

/** Its own while that is open, or what that is nested in, if that still is. */
export function transactionOf(record: Model): Transaction | undefined {
  for (let at = readIn.get(record); at != null; at = inside(at).parent ?? undefined)
    if (!isOver(at)) return at
  const { sequelize } = record.constructor as ModelStatic<Model>
  return sequelize === undefined ? undefined : current(sequelize)
}

/** The transaction that the app's continuation-local storage holds, where it uses one. */
const current = (sequelize: Sequelize): Transaction | undefined =>
  (
    sequelize.constructor as { _cls?: { get(name: 'transaction'): Transaction | undefined } }
  )._cls?.get('transaction') ?? undefined

/** null, of options, is outside of any. */
export const openOf = (
  sequelize: Sequelize,
  options: { readonly transaction?: Transaction | null | undefined } | undefined,
): Transaction | undefined =>
  options?.transaction === undefined ? current(sequelize) : (options.transaction ?? undefined)
