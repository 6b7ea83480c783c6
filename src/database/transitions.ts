import { sql, type RawBuilder } from 'kysely'

/** One way in which the state of a row changes. */
export interface Transition<State extends string> {
  /** States in which it begins; empty: it inserts the row. */
  readonly from: readonly State[]
  /** State in which it ends; null: it deletes the row. */
  readonly to: State | null
  /** The condition or lock that stops two processes from making it at once. */
  readonly fence: string
}

/** Transitions of one table, by the name of the function that makes them. */
export type Transitions<State extends string> = Readonly<Record<string, Transition<State>>>

/**
 * Builds the condition that a row, found by its id or token, is in one of the states. It is written
 * so that no index serves it: MariaDB would read the index of states instead of that of ids, and
 * lock other rows in an order that ends in deadlocks.
 */
export function isInState(states: readonly string[]): RawBuilder<boolean> {
  return sql<boolean>`coalesce(state, '') in (${sql.join(states)})`
}
