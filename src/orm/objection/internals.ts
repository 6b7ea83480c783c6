// Members of Objection 3 that its types leave out. All are optional, so that a version without them
// is no crash here;
// test/orm-internals.test.ts fails when a version lacks or changes them.
import type { Knex } from 'knex'
import type { Model, QueryBuilder } from 'objection'

/**
 * A query. No public method returns the records that it was given, or a Knex without throwing if
 * none is bound.
 */
export type QueryInternals = QueryBuilder<Model> & {
  findOperation?(
    predicate: (operation: OperationInternals) => boolean,
  ): OperationInternals | null | undefined
  unsafeKnex?(): Knex | null | undefined
}

/** One step of a query. An insert has `models`, an update or a patch has one `model`. */
interface OperationInternals {
  readonly models?: readonly Model[] | null
  readonly model?: Model | null
}

/** Reads the records that a query inserts, updates or upserts. */
export function readInputRecords(query: QueryInternals): readonly Model[] {
  const operation = query.findOperation?.(({ models, model }) => (models ?? model) != null)
  return operation?.models ?? (operation?.model == null ? [] : [operation.model])
}

/**
 * Reads the Knex, or the transaction, that a query runs on. undefined: none is bound, and the query
 * fails with Objection's error.
 */
export const readKnex = (query: QueryInternals): Knex | undefined =>
  query.unsafeKnex?.() ?? undefined
