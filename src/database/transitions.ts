import { sql, type RawBuilder } from 'kysely'

/** One way in which the state of a row changes. */
export interface Transition<State extends string> {
  /** States that it begins in; empty: it writes the row. */
  readonly from: readonly State[]
  /** State that it ends in; null: it deletes the row. */
  readonly to: State | null
  /** What keeps two processes from making it at once. */
  readonly fence: string
}

/** Transitions of one table, by the name of the function that makes them. */
export type Transitions<State extends string> = Readonly<Record<string, Transition<State>>>

/**
 * Whether a row that is found by its id or token is in one of these states. No index can serve the
 * condition: MariaDB would read the index of states instead of the one of ids, and lock other rows
 * in an order that ends in deadlocks.
 */
export function isInState(states: readonly string[]): RawBuilder<boolean> {
  return sql<boolean>`coalesce(state, '') in (${sql.join(states)})`
}
