import { sql, type RawBuilder } from 'kysely'
import type { Dialect } from './database.ts'

interface LockableQuery<Q> {
  forUpdate(): Q
  skipLocked(): Q
}

/** Option of a read. */
export interface ReadOptions {
  /**
   * true: locks the rows, and reads their newest state instead of that of the transaction's
   * snapshot. Default: false.
   */
  readonly lock?: boolean
}

/**
 * Options of a lock. `skipLocked: true` leaves out rows that another transaction has locked.
 * Default: waits for them.
 */
export interface RowLockOptions {
  readonly skipLocked?: boolean
}

/**
 * Locks the rows that a query of Kysely reads until its transaction ends. On SQLite the query stays
 * as it is: the transaction has the write lock of the whole file.
 */
export function lockRows<Q extends LockableQuery<Q>>(
  query: Q,
  dialect: Dialect,
  { skipLocked = false }: RowLockOptions = {},
): Q {
  if (dialect === 'sqlite') return query
  return skipLocked ? query.forUpdate().skipLocked() : query.forUpdate()
}

/** Builds the clause of a raw statement that locks its rows as `lockRows` does; empty on SQLite. */
export function lockClause(
  dialect: Dialect,
  { skipLocked = false }: RowLockOptions = {},
): RawBuilder<unknown> {
  if (dialect === 'sqlite') return sql``
  return skipLocked ? sql`for update skip locked` : sql`for update`
}
