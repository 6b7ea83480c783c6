import {
  wrap,
  type AnyEntity,
  type ChangeSet,
  type Collection,
  type EntityManager,
  type UnitOfWork,
} from '@mikro-orm/core'
import { forgetPreloaded } from '../preloaded.ts'
import { definitionsOf } from '../with-attachments.ts'
import { levelOf } from './transactions.ts'

/** What a flush of its own transaction is to undo when it fails. */
const restoreByUnitOfWork = new WeakMap<UnitOfWork, () => void>()

/** MikroORM takes what was rolled back for saved, and would not write it again: what a flush is about to insert is made new again then. */
export function restoreAfterRollback(em: EntityManager, work: UnitOfWork): void {
  const made = work.getChangeSets().filter(({ type }) => (type as string) === 'create')
  // Of a flush that has nothing of ours, MikroORM's own rules hold.
  if (!made.some(({ entity }) => definitionsOf(entity) !== null)) return
  const renews = made.map((each) => createRestore(work, each))
  const undo = (): void => renews.forEach((renew) => renew())
  if (em.isInTransaction()) levelOf(em)?.afterRollback(undo)
  else restoreByUnitOfWork.set(work, undo)
}

/** Of a flush that is over: `failed` says how. */
export function endFlush(work: UnitOfWork, failed: boolean): void {
  if (failed) restoreByUnitOfWork.get(work)?.()
  restoreByUnitOfWork.delete(work)
}

function createRestore(work: UnitOfWork, { entity, meta }: ChangeSet<AnyEntity>): () => void {
  const record = entity as Record<string, unknown>
  const keys = meta.primaryKeys.map((name) => [name, record[name]] as const)
  return () => {
    const wrapped = wrap(entity, true)
    // After a transaction, also the manager around it has the entity.
    for (const each of [work, wrapped.__em?.getUnitOfWork(false)]) {
      const known = each?.getIdentityMap()
      if (known !== undefined && wrapped.hasPrimaryKey() && known.getByEntity(entity) === entity)
        known.delete(entity)
    }
    for (const [name, value] of keys) record[name] = value
    delete wrapped.__originalEntityData
    delete (wrapped as { __identifier?: unknown }).__identifier
    wrapped.__managed = false
    for (const { name, kind, owner } of meta.relations) {
      if ((kind as string) !== 'm:n' || owner !== true) continue
      const collection = record[name] as Collection<object>
      const items = collection.getItems(false)
      collection.hydrate([])
      collection.add(items)
    }
    forgetPreloaded(entity)
    work.persist(entity)
  }
}
