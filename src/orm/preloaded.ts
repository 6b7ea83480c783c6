import type { RowCache } from '../attached/scope.ts'

interface Preloaded {
  readonly loaded: RowCache
  /** The transaction that it was read in: where that is over, or another, it may never have been true. */
  readonly transaction: unknown
}
const preloadedByRecord = new WeakMap<object, Preloaded>()

/** What was read of a record ahead, outside of all transactions or in this one. */
export function findPreloaded(record: object, transaction: unknown): RowCache | undefined {
  const found = preloadedByRecord.get(record)
  return found?.transaction === transaction ? found?.loaded : undefined
}

export const keepPreloaded = (record: object, loaded: RowCache, transaction: unknown): void =>
  void preloadedByRecord.set(record, { loaded, transaction })

/** What was read is not true any more. */
export const forgetPreloaded = (record: object): void => void preloadedByRecord.delete(record)
