import type { TransactionClientContract } from '@adonisjs/lucid/types/database'
import type { LucidModel, LucidRow } from '@adonisjs/lucid/types/model'
import type { RecordSource } from '../../database/database.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { hasMethod, isObject } from '../object-guards.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { definitionsOf } from '../with-attachments.ts'

/** Returns the class of a record. */
export const modelOf = ({ constructor }: LucidRow): LucidModel => constructor as LucidModel

/** Reads the id of a record. null: it has none yet. */
export const idOf = (record: LucidRow): RecordId | null =>
  record.$isPersisted ? toRecordId(record.$primaryKeyValue) : null

/** Returns the transaction that a record is in, which Lucid itself keeps. */
export const transactionOf = ({ $trx }: LucidRow): TransactionClientContract | undefined => $trx

/**
 * Finds the records that have these attachments, through the app's classes. null: none of them has.
 * Throws ConfigurationError for classes with one attachments object and several tables.
 */
export function createRecordSource(
  models: readonly LucidModel[],
  attachments: object,
): RecordSource | null {
  const all = models.filter((each) => definitionsOf(each) === attachments)
  for (const each of all) each.boot()
  assertOneTable(all, ({ name, table }) => ({ name, table }))
  const base = all.find((each) => !all.includes(Object.getPrototypeOf(each)))
  if (base === undefined) return null
  const isTouched = [...base.$columnsDefinitions.values()].some(
    ({ meta }: { readonly meta?: unknown }) => isObject(meta) && meta['autoUpdate'] === true,
  )
  const find = (id: string): Promise<LucidRow | null> => findRecord(base, id)
  return {
    find,
    hasMethod: (method) => all.some((each) => hasMethod(each.prototype, method)),
    async touch(id) {
      if (isTouched) await (await find(id))?.enableForceUpdate().saveQuietly()
    },
  }
}

/**
 * Finds a record, also one that the app's hooks hide, as a soft delete does: its files still belong
 * to it.
 */
async function findRecord(model: LucidModel, id: string): Promise<LucidRow | null> {
  const found = await model.find(id)
  if (found !== null) return found
  const key = model.$getColumn(model.primaryKey)?.columnName ?? model.primaryKey
  const row: object | null = await model.$adapter
    .modelConstructorClient(model)
    .from(model.table)
    .where(key, id)
    .first()
  return row === null ? null : model.$createFromAdapterResult(row)
}
