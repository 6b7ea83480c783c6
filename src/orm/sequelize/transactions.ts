import type { Transaction, Model, ModelStatic, Sequelize } from 'sequelize'

/** What Sequelize keeps of a transaction, and does not type. */
interface TransactionInternals {
  readonly parent?: Transaction | null
  readonly savepoints?: readonly Transaction[]
  readonly finished?: 'commit' | 'rollback'
}
const internalsOf = (transaction: Transaction): TransactionInternals =>
  transaction as unknown as TransactionInternals

export const isFinished = (transaction: Transaction): boolean =>
  internalsOf(transaction).finished !== undefined

/** Savepoints that were released are as good as what they are in. */
const listReleasedSavepoints = (transaction: Transaction): Transaction[] =>
  (internalsOf(transaction).savepoints ?? [])
    .filter((savepoint) => internalsOf(savepoint).finished === 'commit')
    .flatMap((savepoint) => [savepoint, ...listReleasedSavepoints(savepoint)])

/** Itself and what it is nested in, innermost first. */
export function chainOf(transaction: Transaction): readonly Transaction[] {
  const outer = internalsOf(transaction).parent
  return [
    transaction,
    ...listReleasedSavepoints(transaction),
    ...(outer == null ? [] : chainOf(outer)),
  ]
}

/** What is to be called when a transaction or a savepoint ends. */
interface EndCallbacks {
  readonly committed: (() => void)[]
  readonly rolledBack: (() => void)[]
}
const endCallbacks = new WeakMap<Transaction, EndCallbacks>()

/** `Transaction.afterCommit` is called for a commit that failed, too, and for a savepoint that is only released. */
function watchEnd(transaction: Transaction): EndCallbacks {
  const known = endCallbacks.get(transaction)
  if (known !== undefined) return known
  const own: EndCallbacks = { committed: [], rolledBack: [] }
  endCallbacks.set(transaction, own)
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
    const outer = internalsOf(transaction).parent
    if (outer == null) return own.committed.forEach((each) => each())
    watchEnd(outer).committed.push(...own.committed)
    watchEnd(outer).rolledBack.push(...own.rolledBack)
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
  void watchEnd(transaction).committed.push(done)

/** When it is rolled back, or what it is nested in. */
export const afterRollback = (transaction: Transaction, undo: () => void): void =>
  void watchEnd(transaction).rolledBack.push(undo)

const rememberedIn = new WeakMap<Model, Transaction>()

/** A record acts in the transaction that it was read or saved in. */
export function rememberTransaction(record: Model, transaction: Transaction | undefined): void {
  if (transaction === undefined) rememberedIn.delete(record)
  else rememberedIn.set(record, transaction)
}

/** Its own while that is open, or what that is nested in, if that still is. */
export function transactionOf(record: Model): Transaction | undefined {
  for (let at = rememberedIn.get(record); at != null; at = internalsOf(at).parent ?? undefined)
    if (!isFinished(at)) return at
  const { sequelize } = record.constructor as ModelStatic<Model>
  return sequelize === undefined ? undefined : readClsTransaction(sequelize)
}

/** The transaction that the app's continuation-local storage holds, where it uses one. */
const readClsTransaction = (sequelize: Sequelize): Transaction | undefined =>
  (
    sequelize.constructor as { _cls?: { get(name: 'transaction'): Transaction | undefined } }
  )._cls?.get('transaction') ?? undefined

/** null, of options, is outside of any. */
export const openOf = (
  sequelize: Sequelize,
  options: { readonly transaction?: Transaction | null | undefined } | undefined,
): Transaction | undefined =>
  options?.transaction === undefined
    ? readClsTransaction(sequelize)
    : (options.transaction ?? undefined)
