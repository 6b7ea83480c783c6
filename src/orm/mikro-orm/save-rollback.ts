import {
  ChangeSetType,
  ReferenceKind,
  wrap,
  type ChangeSet,
  type EntityManager,
  type UnitOfWork,
} from '@mikro-orm/core'
import { hasMethod } from '../object-guards.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { definitionsOf } from '../with-attachments.ts'
import { markAsNew } from './internals.ts'
import { levelOf } from './transactions.ts'

/** The restore of a flush that has its own transaction, which runs if that flush fails. */
const restoreByUnitOfWork = new WeakMap<UnitOfWork, () => void>()

/**
 * Makes the entities that a flush is about to insert new again, if they are rolled back. MikroORM
 * takes what was rolled back for saved, and would not write it again. A flush without attachments
 * is left to MikroORM.
 */
export function restoreAfterRollback(em: EntityManager, work: UnitOfWork): void {
  const created = work.getChangeSets().filter(({ type }) => type === ChangeSetType.CREATE)
  if (!created.some(({ entity }) => definitionsOf(entity) !== null)) return
  const restores = created.map((each) => createRestore(work, each))
  const restoreAll = (): void => restores.forEach((restore) => restore())
  if (em.isInTransaction()) levelOf(em)?.afterRollback(restoreAll)
  else restoreByUnitOfWork.set(work, restoreAll)
}

/** Ends a flush that had its own transaction. One that failed is undone. */
export function endFlush(work: UnitOfWork, result: 'committed' | 'failed'): void {
  if (result === 'failed') restoreByUnitOfWork.get(work)?.()
  restoreByUnitOfWork.delete(work)
}

function createRestore(work: UnitOfWork, { entity, meta }: ChangeSet<object>): () => void {
  const keys = meta.primaryKeys.map((name): [string, unknown] => [name, Reflect.get(entity, name)])
  return () => {
    const wrapper = wrap(entity, true)
    // The manager around a transaction has the entity too after the commit.
    for (const each of [work, wrapper.__em?.getUnitOfWork(false)]) {
      const known = each?.getIdentityMap()
      if (known !== undefined && wrapper.hasPrimaryKey() && known.getByEntity(entity) === entity)
        known.delete(entity)
    }
    for (const [name, value] of keys) Reflect.set(entity, name, value)
    markAsNew(wrapper)
    for (const { name, kind, owner } of meta.relations)
      if (kind === ReferenceKind.MANY_TO_MANY && owner === true)
        refillCollection(Reflect.get(entity, name))
    forgetPreloaded(entity)
    work.persist(entity)
  }
}

interface FilledCollection {
  getItems(check: false): object[]
  hydrate(items: object[]): void
  add(items: object[]): unknown
}

const isCollection = (value: unknown): value is FilledCollection =>
  hasMethod(value, 'getItems') && hasMethod(value, 'hydrate') && hasMethod(value, 'add')

/** Adds the items of a collection again, so that the next flush inserts their rows. */
function refillCollection(collection: unknown): void {
  if (!isCollection(collection)) return
  const items = collection.getItems(false)
  collection.hydrate([])
  collection.add(items)
}
