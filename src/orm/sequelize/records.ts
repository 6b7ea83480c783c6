import type { Model, ModelStatic, Sequelize } from 'sequelize'
import type { RecordSource } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { definitionsOf } from '../with-attachments.ts'

/** What Sequelize keeps of a model, and does not type. */
interface ModelInternals {
  readonly _timestampAttributes?: { readonly updatedAt?: string; readonly deletedAt?: string }
}

export const isParanoid = (model: ModelStatic<Model>): boolean =>
  (model as unknown as ModelInternals)._timestampAttributes?.deletedAt !== undefined

/** null: it has none yet. Throws ConfigurationError for one that was not read. */
export function idOf(record: Model): RecordId | null {
  const [key, another] = (record.constructor as ModelStatic<Model>).primaryKeyAttributes
  if (key === undefined || another !== undefined || record.isNewRecord) return null
  const id: unknown = record.get(key)
  if (id === undefined)
    throw new ConfigurationError(
      `This ${record.constructor.name} was read without its key, so that its files cannot be told: name '${key}' among the attributes, too.`,
    )
  return toRecordId(id)
}

/** The records of the class that has these attachments. */
export function createRecordSource(app: Sequelize, attachments: object): RecordSource | null {
  const all = Object.values(app.models).filter((model) => definitionsOf(model) === attachments)
  assertOneTable(all, (model) => ({
    name: model.name,
    table: JSON.stringify(model.getTableName()),
  }))
  const base = all.find((model) => !all.includes(Object.getPrototypeOf(model) as never))
  const key = base?.primaryKeyAttributes[0]
  if (base === undefined || key === undefined) return null
  const changed = (base as unknown as ModelInternals)._timestampAttributes?.updatedAt
  const found = (id: string) => ({ where: { [key]: id }, paranoid: false, logging: false }) as const
  return {
    // Whatever the app's scopes hide has its hooks, too; a replica may not have it yet.
    find: (id) => base.unscoped().findOne({ ...found(id), useMaster: true }),
    hasMethod: (method) =>
      all.some(
        (model) =>
          typeof (model.prototype as unknown as Record<string, unknown>)[method] === 'function',
      ),
    async touch(id) {
      if (changed !== undefined)
        await base
          .unscoped()
          .update(
            { [changed]: new Date() },
            { ...found(id), hooks: false, validate: false, silent: true },
          )
    },
  }
}
