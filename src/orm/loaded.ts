import type { LoadedCell } from '../attached/scope.ts'

interface Kept {
  readonly loaded: LoadedCell
  /** The transaction that it was read in: where that is over, or another, it may never have been true. */
  readonly transaction: unknown
}
const kept = new WeakMap<object, Kept>()

/** What was read of a record ahead, outside of all transactions or in this one. */
export function loadedOf(record: object, transaction: unknown): LoadedCell | undefined {
  const found = kept.get(record)
  return found?.transaction === transaction ? found?.loaded : undefined
}

export const keepLoaded = (record: object, loaded: LoadedCell, transaction: unknown): void =>
  void kept.set(record, { loaded, transaction })

/** What was read is not true any more. */
export const forgetLoaded = (record: object): void => void kept.delete(record)
