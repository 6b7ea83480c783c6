import type { Knex } from 'knex'
import type { Model, ModelClass, QueryContext } from 'objection'
import type { RecordSource } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { isTransaction, openOf } from '../knex/transactions.ts'
import { requireModel, type StorageModel } from '../model-registry.ts'
import { hasMethod, toList } from '../object-guards.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { definitionsOf } from '../with-attachments.ts'

/** Reads the id of a record. null: it has none yet, or its key is not one column. */
export const idOf = (record: Model): RecordId | null => toRecordId(record.$id())

const rememberedIn = new WeakMap<Model, Knex.Transaction>()

/** Remembers the transaction of a record's last query, in which the handles of the record act. */
export function rememberTransaction(record: Model, { transaction }: QueryContext): void {
  if (isTransaction(transaction)) rememberedIn.set(record, transaction)
  else rememberedIn.delete(record)
}

/**
 * Returns the transaction of a record's last query, or the innermost one around it that is open.
 */
export function transactionOf(record: Model): Knex.Transaction | undefined {
  const trx = rememberedIn.get(record)
  return trx && openOf(trx)
}

/** Returns the transaction that a query runs in. Throws ConfigurationError if it runs in none. */
export function requireTransaction(given: unknown, type: string, verb: string): Knex.Transaction {
  if (isTransaction(given)) return given
  throw new ConfigurationError(
    `${type}: ${verb} runs without a transaction here, and its files could be lost or left behind. Pass the trx of knex.transaction(…) to query(…).`,
  )
}

/** Checks whether a value is a record of Objection. */
export const isRecord = (value: unknown): value is Model => hasMethod(value, '$id')

/** Collects the records of a graph, roots first. */
export function collectGraph(roots: readonly Model[], seen: Set<Model> = new Set()): Model[] {
  for (const root of roots) {
    if (seen.has(root)) continue
    seen.add(root)
    for (const name of Object.keys(root.$modelClass.getRelations()))
      collectGraph(toList(Reflect.get(root, name)).filter(isRecord), seen)
  }
  return [...seen]
}

/**
 * Finds the model of the open storage that a record belongs to. null: its class has no attachments.
 */
export const findModel = (record: Model): StorageModel | null => {
  const attachments = definitionsOf(record)
  return attachments === null ? null : requireModel(attachments)
}

/**
 * Finds the records that have these attachments, through the app's classes. null: none of them has.
 * Throws ConfigurationError for classes with one attachments object and several tables.
 */
export function createRecordSource(
  db: Knex,
  classes: readonly ModelClass<Model>[],
  attachments: object,
): RecordSource | null {
  const all = classes.filter((each) => definitionsOf(each) === attachments)
  assertOneTable(all, ({ name, tableName: table }) => ({ name, table }))
  const base = all.find((each) => !all.includes(Object.getPrototypeOf(each)))
  if (base === undefined) return null
  return {
    find: async (id) => (await base.query(db).findById(id)) ?? null,
    hasMethod: (method) => all.some((each) => hasMethod(each.prototype, method)),
    // An empty patch calls the class's own $beforeUpdate, which may set a column. Else there is no
    // statement.
    touch: async (id) => void (await base.query(db).findById(id).patch({})),
  }
}
