import { AsyncLocalStorage } from 'node:async_hooks'
import type { EntityManager } from '@mikro-orm/core'
import { requireModel } from '../model-registry.ts'
import { stageAssignedFiles, takeFilesFromProperties } from '../assigned-files.ts'
import { saveAndWait } from '../save-and-wait.ts'
import { definitionsOf } from '../with-attachments.ts'
import { refuseUnbound } from './bind.ts'
import { endFlush } from './save-rollback.ts'
import { submitFiles, subscribeManager } from './save-subscriber.ts'
import { levelOf } from './transactions.ts'

const lastFlushByManager = new WeakMap<EntityManager, Promise<void>>()
const flushesAround = new AsyncLocalStorage<ReadonlySet<EntityManager>>()

/**
 * Flushes a manager with the files of its entities. Flushes of one manager wait for each other, as
 * MikroORM's own do, because each may open its transaction on it. A flush inside a flush, as by a
 * subscriber, is MikroORM's own.
 */
export async function flushWithFiles(
  given: EntityManager,
  flush: () => Promise<void>,
): Promise<void> {
  const em = given.getContext()
  const around = flushesAround.getStore()
  if (around?.has(em) === true) return flush()
  subscribeManager(em)
  await saveAndWait((onBegin) => {
    const current = (lastFlushByManager.get(em) ?? Promise.resolve()).then(() =>
      flushesAround.run(new Set(around).add(em), async () => {
        try {
          await flushInTransaction(em, flush, onBegin)
          endFlush(em.getUnitOfWork(false), 'committed')
        } catch (error) {
          endFlush(em.getUnitOfWork(false), 'failed')
          throw error
        }
      }),
    )
    lastFlushByManager.set(
      em,
      current.catch(() => undefined),
    )
    return current
  })
}

/**
 * Flushes and submits files in one transaction: the one that is open, else one that is opened here.
 */
async function flushInTransaction(
  em: EntityManager,
  flush: () => Promise<void>,
  onBegin: (transaction: object | undefined) => void,
): Promise<void> {
  const withFiles = findEntitiesWithFiles(em)
  if (withFiles.length === 0) return flush()
  const flushAndSubmit = async (): Promise<void> => {
    await flush()
    // The subscriber has submitted the files of new entities. MikroORM has no event for an entity
    // whose columns did not change.
    for (const { entity, attachments } of withFiles)
      await submitFiles(entity, attachments, em, { isNew: false })
  }
  if (em.isInTransaction()) return flushAndSubmit()
  for (const { entity, attachments } of withFiles)
    await stageAssignedFiles(requireModel(attachments), entity)
  await em.begin()
  onBegin(levelOf(em)?.chain[0])
  try {
    await flushAndSubmit()
    await em.commit()
  } catch (error) {
    await em.rollback()
    throw error
  }
}

interface EntityWithFiles {
  readonly entity: object
  readonly attachments: object
}

/**
 * Finds the entities of a manager that have files to save. Throws ConfigurationError if it is not
 * bound.
 */
function findEntitiesWithFiles(em: EntityManager): EntityWithFiles[] {
  const work = em.getUnitOfWork(false)
  const removed = work.getRemoveStack()
  const found: EntityWithFiles[] = []
  for (const entity of new Set<object>([...work.getIdentityMap(), ...work.getPersistStack()])) {
    const attachments = removed.has(entity) ? null : definitionsOf(entity)
    if (attachments === null) continue
    if (!takeFilesFromProperties(Object.keys(attachments), entity)) continue
    refuseUnbound(em, entity.constructor)
    found.push({ entity, attachments })
  }
  return found
}
