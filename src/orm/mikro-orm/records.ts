import type { EntityManager, EntityMetadata, MikroORM } from '@mikro-orm/core'
import type { RecordSource } from '../../database/database.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { hasMethod, isConstructor } from '../object-guards.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { refuseHidingFieldsOfClass } from '../reserved-members.ts'
import { definitionsOf } from '../with-attachments.ts'
import { findWrapper, isInDatabase, managerOf } from './internals.ts'

/** Reads the primary key of an entity. null: it has none yet, or the value is no entity. */
export const primaryKeyOf = (entity: object): RecordId | null =>
  toRecordId(findWrapper(entity)?.getPrimaryKey())

/** Reads the primary key of an entity that is in the database. null: it is not saved yet. */
export const idOf = (entity: object): RecordId | null =>
  isInDatabase(entity) ? primaryKeyOf(entity) : null

/** Returns the manager that an entity belongs to, if a transaction is open in it. */
export function transactionOf(entity: object): EntityManager | undefined {
  const em = managerOf(entity)
  return em?.isInTransaction() === true ? em : undefined
}

const metadataOf = (orm: MikroORM): EntityMetadata[] => [...orm.getMetadata().getAll().values()]

/** Throws ConfigurationError for an entity whose fields hide attachments. */
export function refuseHidingEntities(orm: MikroORM): void {
  for (const { class: type } of metadataOf(orm)) {
    const attachments = isConstructor(type) ? definitionsOf(type) : null
    if (isConstructor(type) && attachments !== null)
      refuseHidingFieldsOfClass(type, Object.keys(attachments))
  }
}

/**
 * Finds the records of the class that has these attachments, and of the classes that extend it in
 * one table. null: the ORM has no such class, or its key has several columns.
 */
export function createRecordSource(orm: MikroORM, attachments: object): RecordSource | null {
  const all = metadataOf(orm).filter(
    ({ class: type }) => typeof type === 'function' && definitionsOf(type) === attachments,
  )
  assertOneTable(
    all.filter(({ abstract }) => abstract !== true),
    ({ className: name, tableName: table }) => ({ name, table }),
  )
  const base = all.find(({ class: type }) => !all.some((other) => isSubclass(type, other.class)))
  const key = base?.primaryKeys[0]
  if (base === undefined || key === undefined || base.primaryKeys.length > 1) return null
  const updated = base.props.flatMap(({ name, onUpdate }) =>
    onUpdate === undefined ? [] : [{ name, onUpdate }],
  )
  // Reads the primary, because a replica may not have the record yet.
  const find = (em: EntityManager, id: string): Promise<object | null> =>
    em.findOne(base.class, { [key]: id }, { filters: false, connectionType: 'write' })
  return {
    find: (id) => find(orm.em.fork(), id),
    hasMethod: (method) => all.some(({ class: type }) => hasMethod(type.prototype, method)),
    async touch(id) {
      if (updated.length === 0) return
      const em = orm.em.fork()
      const entity = await find(em, id)
      if (entity === null) return
      const values = updated.map(({ name, onUpdate }) => [name, onUpdate(entity, em)])
      await em.nativeUpdate(base.class, { [key]: id }, Object.fromEntries(values))
    },
  }
}

const isSubclass = (type: EntityMetadata['class'], other: EntityMetadata['class']): boolean =>
  Object.prototype.isPrototypeOf.call(other.prototype, type.prototype)
