import { wrap, type EntityManager, type EntityMetadata, type MikroORM } from '@mikro-orm/core'
import type { RecordSource } from '../../database/database.ts'
import { refuseHidingFieldsOfClass } from '../reserved-members.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { definitionsOf } from '../with-attachments.ts'

/** null: it has none yet, or is no entity. */
export function primaryKeyOf(entity: object): RecordId | null {
  const helper =
    (entity as { __helper?: unknown }).__helper === undefined ? null : wrap(entity, true)
  return toRecordId(helper?.getPrimaryKey())
}

/** null, too, for what has an id and is not in the database yet. */
export const idOf = (entity: object): RecordId | null =>
  primaryKeyOf(entity) !== null && wrap(entity, true).__originalEntityData !== undefined
    ? primaryKeyOf(entity)
    : null

/** The open transaction of the manager that an entity belongs to. */
export function transactionOf(entity: object): EntityManager | undefined {
  const em = wrap(entity, true).__em as EntityManager | undefined
  return em?.isInTransaction() === true ? em : undefined
}

export function refuseHidingEntities(orm: MikroORM): void {
  for (const { class: type } of orm.getMetadata().getAll().values()) {
    const attachments = typeof type === 'function' ? definitionsOf(type) : null
    if (attachments !== null)
      refuseHidingFieldsOfClass(type as unknown as new () => object, Object.keys(attachments))
  }
}

/** The records of the class that has these attachments, and of those that extend it in one table. */
export function createRecordSource(orm: MikroORM, attachments: object): RecordSource | null {
  const all = [...orm.getMetadata().getAll().values()].filter(
    ({ class: type }) => typeof type === 'function' && definitionsOf(type) === attachments,
  )
  assertOneTable(
    all.filter(({ abstract }) => abstract !== true),
    ({ className: name, tableName: table }) => ({ name, table }),
  )
  const isRoot = ({ class: type }: EntityMetadata): boolean =>
    !all.some(
      (other) =>
        other.class !== type &&
        (type.prototype as object) instanceof (other.class as unknown as new () => object),
    )
  const base = all.find(isRoot)
  const key = base?.primaryKeys[0]
  if (base === undefined || key === undefined || base.primaryKeys.length > 1) return null
  const touched = base.props.filter(({ onUpdate }) => onUpdate !== undefined)
  // A replica may not have it yet.
  const find = (em: EntityManager, id: string): Promise<object | null> =>
    em.findOne(base.class as never, { [key]: id } as never, {
      filters: false,
      connectionType: 'write',
    })
  return {
    find: (id) => find(orm.em.fork(), id),
    hasMethod: (method) =>
      all.some(
        ({ class: type }) =>
          typeof (type.prototype as unknown as Record<string, unknown>)[method] === 'function',
      ),
    async touch(id) {
      if (touched.length === 0) return
      const em = orm.em.fork()
      const entity = await find(em, id)
      if (entity === null) return
      const values = touched.map(
        ({ name, onUpdate }) => [name, onUpdate!(entity as never, em)] as const,
      )
      await em.nativeUpdate(
        base.class as never,
        { [key]: id } as never,
        Object.fromEntries(values) as never,
      )
    },
  }
}
