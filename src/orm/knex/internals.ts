// Fields of Knex that its types leave out or declare as `any`. All are optional, so that a version
// without them is no crash
// here; test/orm-internals.test.ts fails when a version lacks or changes them.
import type { Knex } from 'knex'

/** A transaction or a savepoint. Knex has no public way to ask what a savepoint is nested in. */
export type TransactionInternals = Knex.Transaction & {
  readonly parentTransaction?: Knex.Transaction
}

/** A Knex with its client, the only member that names the database. */
export type KnexInternals = Knex & {
  readonly client?: {
    readonly dialect?: string
    readonly config?: { readonly client?: unknown }
  }
}
