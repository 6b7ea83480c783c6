import type { Model, Sequelize } from 'sequelize'
import type { RecordSource } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { hasMethod } from '../object-guards.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { definitionsOf } from '../with-attachments.ts'
import type { ModelInternals } from './internals.ts'

/** Returns the class of a record. */
export const modelOf = ({ constructor }: Model): ModelInternals => constructor as ModelInternals

/** Returns the app that a class belongs to. Throws ConfigurationError before `init`. */
export function appOf({ name, sequelize }: ModelInternals): Sequelize {
  if (sequelize !== undefined) return sequelize
  throw new ConfigurationError(
    `${name} is not initialized: call ${name}.init(columns, { sequelize }) before it is used.`,
  )
}

/** Checks whether records of the class are only marked as deleted. */
export const isParanoid = (model: ModelInternals): boolean =>
  model._timestampAttributes?.deletedAt !== undefined

/**
 * Reads the id of a record. null: it is new, or its key is not one column. Throws
 * ConfigurationError if the record was read without its key.
 */
export function idOf(record: Model): RecordId | null {
  const { name, primaryKeyAttributes } = modelOf(record)
  const [key, another] = primaryKeyAttributes
  if (key === undefined || another !== undefined || record.isNewRecord) return null
  const id: unknown = record.get(key)
  if (id === undefined)
    throw new ConfigurationError(
      `This ${name} was read without its key, so its files cannot be found: add '${key}' to the attributes.`,
    )
  return toRecordId(id)
}

/**
 * Finds the records that have these attachments, through the app's classes. null: the app has no
 * such class. Throws ConfigurationError for classes with one attachments object and several tables.
 */
export function createRecordSource(app: Sequelize, attachments: object): RecordSource | null {
  const models: readonly ModelInternals[] = Object.values(app.models)
  const all = models.filter((model) => definitionsOf(model) === attachments)
  assertOneTable(all, (model) => ({
    name: model.name,
    table: JSON.stringify(model.getTableName()),
  }))
  const base = all.find((model) => !all.includes(Object.getPrototypeOf(model)))
  const key = base?.primaryKeyAttributes[0]
  if (base === undefined || key === undefined) return null
  const updatedAt = base._timestampAttributes?.updatedAt
  const byId = (id: string) => ({ where: { [key]: id }, paranoid: false, logging: false }) as const
  return {
    // The lookup is unscoped, because records that the app's scopes hide have hooks too. It reads
    // the primary, because a replica may lag.
    find: (id) => base.unscoped().findOne({ ...byId(id), useMaster: true }),
    hasMethod: (method) => all.some((model) => hasMethod(model.prototype, method)),
    async touch(id) {
      if (updatedAt === undefined) return
      const options = { ...byId(id), hooks: false, validate: false, silent: true }
      await base.unscoped().update({ [updatedAt]: new Date() }, options)
    },
  }
}
