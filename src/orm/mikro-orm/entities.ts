import { wrap, type EntityManager, type EntityMetadata, type MikroORM } from '@mikro-orm/core'
import type { RecordSource } from '../../database/database.ts'
import { refuseFieldsOf } from '../fields.ts'
import { asRecordId, type RecordId } from '../record-id.ts'
import { oneTable } from '../one-table.ts'
import { attachmentsOf } from '../with-attachments.ts'

/** null: it has none yet, or is no entity. */
export function keyOf(entity: object): RecordId | null {
  const helper =
    (entity as { __helper?: unknown }).__helper === undefined ? null : wrap(entity, true)
  return asRecordId(helper?.getPrimaryKey())
}

/** null, too, for what has an id and is not in the database yet. */
export const idOf = (entity: object): RecordId | null =>
  keyOf(entity) !== null && wrap(entity, true).__originalEntityData !== undefined
    ? keyOf(entity)
    : null

/** The open transaction of the manager that an entity belongs to. */
export function transactionOf(entity: object): EntityManager | undefined {
  const em = wrap(entity, true).__em as EntityManager | undefined
  return em?.isInTransaction() === true ? em : undefined
}

export function refuseHidden(orm: MikroORM): void {
  for (const { class: type } of orm.getMetadata().getAll().values()) {
    const attachments = typeof type === 'function' ? attachmentsOf(type) : null
    if (attachments !== null)
      refuseFieldsOf(type as unknown as new () => object, Object.keys(attachments))
  }
}

/** The records of the class that has these attachments, and of those that extend it in one table. */
export function recordSource(orm: MikroORM, attachments: object): RecordSource | null {
  const all = [...orm.getMetadata().getAll().values()].filter(
    ({ class: type }) => typeof type === 'function' && attachmentsOf(type) === attachments,
  )
  oneTable(
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
    has: (method) =>
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
