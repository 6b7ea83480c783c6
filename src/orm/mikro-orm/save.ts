import { AsyncLocalStorage } from 'node:async_hooks'
import type { EntityManager, EventArgs, FlushEventArgs } from '@mikro-orm/core'
import { findOptions } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { stagePendingFiles, submitPendingFiles, takeFilesFromProperties } from '../pending-files.ts'
import { requireModel } from '../model-registry.ts'
import { saveAndFinish } from '../save-and-finish.ts'
import { definitionsOf } from '../with-attachments.ts'
import { primaryKeyOf } from './records.ts'
import { endFlush, restoreAfterRollback } from './save-rollback.ts'
import { afterCommit, levelOf, transactionEvents } from './transactions.ts'

const noTransactionError = (type: string): ConfigurationError =>
  new ConfigurationError(
    `${type}: it is flushed without a transaction here, and its files could be lost or left behind. Flush inside em.transactional(…), or leave implicitTransactions on.`,
  )

async function submitFiles(
  entity: object,
  attachments: object,
  em: EntityManager,
  isNew: boolean,
): Promise<void> {
  await submitPendingFiles(
    requireModel(attachments),
    entity,
    primaryKeyOf(entity),
    { tx: em, chain: levelOf(em)?.chain ?? [], afterCommit: (done) => afterCommit(em, done) },
    isNew,
  )
}

const isAnyDefinitionRequired = (attachments: object): boolean =>
  Object.values(attachments).some((each: object) => findOptions(each)?.required === true)

/** Entities are inserted and removed in many ways; each passes here. */
const flushSubscriber = {
  ...transactionEvents,
  onFlush: ({ em, uow }: FlushEventArgs): void => restoreAfterRollback(em, uow),
  async afterCreate({ entity, em }: EventArgs<object>): Promise<void> {
    const attachments = definitionsOf(entity)
    if (attachments === null) return
    if (
      !takeFilesFromProperties(Object.keys(attachments), entity) &&
      !isAnyDefinitionRequired(attachments)
    )
      return
    refuseUnbound(em, entity.constructor)
    const model = requireModel(attachments)
    if (!em.isInTransaction()) throw noTransactionError(model.type)
    await submitFiles(entity, attachments, em, true)
  },
  async beforeDelete({ entity, em }: EventArgs<object>): Promise<void> {
    const attachments = definitionsOf(entity)
    if (attachments === null) return
    refuseUnbound(em, entity.constructor)
    const model = requireModel(attachments)
    if (!em.isInTransaction()) throw noTransactionError(model.type)
    const id = primaryKeyOf(entity)
    if (id !== null) await model.record(id, em).purgeAllLater()
  },
}

/** Drivers are what all managers of an ORM share. */
const boundDrivers = new WeakSet<object>()
export const bindManager = (em: EntityManager): void => void boundDrivers.add(em.getDriver())

/** Throws ConfigurationError where no storage knows the ORM: files of its entities would be dropped. */
export function refuseUnbound(em: EntityManager, { name }: { readonly name: string }): void {
  if (boundDrivers.has(em.getDriver())) return
  throw new ConfigurationError(
    `${name} has attachments, but this MikroORM is not bound to a storage. Pass it to mikroOrm(orm) in createActiveStorage, and import that module where entities are flushed.`,
  )
}

export const subscribeManager = (em: EntityManager): void =>
  em
    .getContext(false)
    .getEventManager()
    .registerSubscriber(flushSubscriber as never)

const lastFlushByManager = new WeakMap<EntityManager, Promise<void>>()
const flushesAround = new AsyncLocalStorage<ReadonlySet<EntityManager>>()

/** Flushes of one manager are one after the other, as MikroORM's own: each may have its transaction there. */
export async function flushWithFiles(
  given: EntityManager,
  plain: () => Promise<void>,
): Promise<void> {
  const em = given.getContext()
  const within = flushesAround.getStore()
  if (within?.has(em) === true) return plain()
  subscribeManager(em)
  await saveAndFinish((begun) => {
    const turn = (lastFlushByManager.get(em) ?? Promise.resolve()).then(() =>
      flushesAround.run(new Set(within).add(em), async () => {
        try {
          await flushInTransaction(em, plain, begun)
          endFlush(em.getUnitOfWork(false), false)
        } catch (error) {
          endFlush(em.getUnitOfWork(false), true)
          throw error
        }
      }),
    )
    lastFlushByManager.set(
      em,
      turn.catch(() => undefined),
    )
    return turn
  })
}

/** In one transaction with what is flushed: the one that is open, or one of its own. */
async function flushInTransaction(
  em: EntityManager,
  flush: () => Promise<void>,
  begun: (transaction: object | undefined) => void,
): Promise<void> {
  const work = em.getUnitOfWork(false)
  const removed = work.getRemoveStack()
  const bringers: [entity: object, attachments: object][] = []
  for (const entity of new Set<object>([...work.getIdentityMap(), ...work.getPersistStack()])) {
    const attachments = definitionsOf(entity)
    if (
      attachments === null ||
      removed.has(entity) ||
      !takeFilesFromProperties(Object.keys(attachments), entity)
    )
      continue
    refuseUnbound(em, entity.constructor)
    bringers.push([entity, attachments])
  }
  if (bringers.length === 0) return flush()
  const within = async (): Promise<void> => {
    await flush()
    // What was inserted has submitted its files by itself; of what did not change, MikroORM tells nobody.
    for (const [entity, attachments] of bringers) await submitFiles(entity, attachments, em, false)
  }
  if (em.isInTransaction()) return within()
  for (const [entity, attachments] of bringers)
    await stagePendingFiles(requireModel(attachments), entity)
  await em.begin()
  begun(levelOf(em)?.chain[0])
  try {
    await within()
    await em.commit()
  } catch (error) {
    await em.rollback()
    throw error
  }
}
