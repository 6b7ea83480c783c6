import type { RowCache } from '../attached/scope.ts'

interface Preloaded {
  readonly rows: RowCache
  /** The transaction that the rows were read in. They may be wrong in another one, or after it. */
  readonly transaction: unknown
}
const preloadedByRecord = new WeakMap<object, Preloaded>()

/**
 * Finds the rows that were preloaded for a record in this transaction. `transaction` undefined:
 * outside of all.
 */
export function findPreloaded(record: object, transaction: unknown): RowCache | undefined {
  const found = preloadedByRecord.get(record)
  return found?.transaction === transaction ? found?.rows : undefined
}

/** Keeps preloaded rows for a record, in place of earlier ones. */
export const keepPreloaded = (record: object, rows: RowCache, transaction: unknown): void =>
  void preloadedByRecord.set(record, { rows, transaction })

/** Drops the preloaded rows of a record, which are about to change or may have changed. */
export const forgetPreloaded = (record: object): void => void preloadedByRecord.delete(record)
