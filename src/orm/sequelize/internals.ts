// Fields of Sequelize 6 that its types leave out. All are optional, so that a version without them
// is no crash here;
// test/orm-internals.test.ts fails when a version lacks or changes them.
import type { Model, ModelStatic, Sequelize, Transaction } from 'sequelize'
import { hasMethod, isObject } from '../object-guards.ts'

/**
 * A transaction or a savepoint. Sequelize has no public way to ask whether it is finished, or what
 * it is nested in.
 */
export interface TransactionInternals extends Transaction {
  readonly parent?: TransactionInternals | null
  readonly finished?: 'commit' | 'rollback'
}

/**
 * A model class. Its timestamp columns may be renamed or switched off in many places; only this
 * field has the result.
 */
export type ModelInternals = ModelStatic<Model> & {
  readonly _timestampAttributes?: { readonly updatedAt?: string; readonly deletedAt?: string }
}

/**
 * A record that a query returned. Only this field names the associations that were read with it.
 */
export interface RecordInternals extends Model {
  readonly _options?: { readonly includeNames?: readonly string[] }
}

/** Checks whether a value of a query's result is a record, not a row of `{ raw: true }`. */
export const isRecord = (value: unknown): value is RecordInternals =>
  isObject(value) && isObject(value['_options'])

/** Checks whether a value of the app's options is a model class. */
export const isModel = (value: unknown): value is ModelStatic<Model> => hasMethod(value, 'findAll')

/**
 * Reads the transaction that the app's continuation-local storage holds. `Sequelize.useCLS` keeps
 * the namespace in a static field, and no public method reads it.
 */
export function readClsTransaction({ constructor }: Sequelize): Transaction | undefined {
  const { _cls: namespace }: SequelizeClass = constructor
  return namespace?.get('transaction') ?? undefined
}
type SequelizeClass = object & {
  readonly _cls?: { get(name: 'transaction'): Transaction | null | undefined }
}

/**
 * Reads the file of a SQLite database. The types of `options` are those of the constructor, and
 * leave out what Sequelize itself sets.
 */
export function readSqliteStorage(app: SequelizeOptions): string {
  return app.options?.storage ?? app.options?.host ?? ':memory:'
}
type SequelizeOptions = Sequelize & {
  readonly options?: { readonly storage?: string; readonly host?: string }
}
