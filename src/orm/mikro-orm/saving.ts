import { AsyncLocalStorage } from 'node:async_hooks'
import type { EntityManager, EventArgs, FlushEventArgs } from '@mikro-orm/core'
import { optionsOf } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors.ts'
import { stageAssigned, submitAssigned, takeAssigned } from '../assigned.ts'
import { boundModel } from '../bound.ts'
import { saveAndFinish } from '../save-and-finish.ts'
import { attachmentsOf } from '../with-attachments.ts'
import { keyOf } from './entities.ts'
import { flushed, renewAfterRollback } from './renewing.ts'
import { afterCommit, chainOf, transactionEvents } from './transactions.ts'

const noTransaction = (type: string): ConfigurationError =>
  new ConfigurationError(
    `${type}: it is flushed without a transaction here, and its files could be lost or left behind. Flush inside em.transactional(…), or leave implicitTransactions on.`,
  )

async function submit(
  entity: object,
  attachments: object,
  em: EntityManager,
  isNew: boolean,
): Promise<void> {
  await submitAssigned(
    boundModel(attachments),
    entity,
    keyOf(entity),
    { tx: em, chain: chainOf(em), afterCommit: (done) => afterCommit(em, done) },
    isNew,
  )
}

const needsFiles = (attachments: object): boolean =>
  Object.values(attachments).some((each: object) => optionsOf(each)?.required === true)

/** Entities are inserted and removed in many ways; each passes here. */
const subscriber = {
  ...transactionEvents,
  onFlush: ({ em, uow }: FlushEventArgs): void => renewAfterRollback(em, uow),
  async afterCreate({ entity, em }: EventArgs<object>): Promise<void> {
    const attachments = attachmentsOf(entity)
    if (attachments === null) return
    if (!takeAssigned(Object.keys(attachments), entity) && !needsFiles(attachments)) return
    refuseUnbound(em, entity.constructor)
    const model = boundModel(attachments)
    if (!em.isInTransaction()) throw noTransaction(model.type)
    await submit(entity, attachments, em, true)
  },
  async beforeDelete({ entity, em }: EventArgs<object>): Promise<void> {
    const attachments = attachmentsOf(entity)
    if (attachments === null) return
    refuseUnbound(em, entity.constructor)
    const model = boundModel(attachments)
    if (!em.isInTransaction()) throw noTransaction(model.type)
    const id = keyOf(entity)
    if (id !== null) await model.record(id, em).purgeAllLater()
  },
}

/** Drivers are what all managers of an ORM share. */
const bound = new WeakSet<object>()
export const bind = (em: EntityManager): void => void bound.add(em.getDriver())

/** Throws ConfigurationError where no storage knows the ORM: files of its entities would be dropped. */
export function refuseUnbound(em: EntityManager, { name }: { readonly name: string }): void {
  if (bound.has(em.getDriver())) return
  throw new ConfigurationError(
    `${name} has attachments, but this MikroORM is not bound to a storage. Pass it to mikroOrm(orm) in createActiveStorage, and import that module where entities are flushed.`,
  )
}

export const listen = (em: EntityManager): void =>
  em
    .getContext(false)
    .getEventManager()
    .registerSubscriber(subscriber as never)

const turns = new WeakMap<EntityManager, Promise<void>>()
const flushing = new AsyncLocalStorage<ReadonlySet<EntityManager>>()

/** Flushes of one manager are one after the other, as MikroORM's own: each may have its transaction there. */
export async function flushWith(given: EntityManager, plain: () => Promise<void>): Promise<void> {
  const em = given.getContext()
  const within = flushing.getStore()
  if (within?.has(em) === true) return plain()
  listen(em)
  await saveAndFinish((begun) => {
    const turn = (turns.get(em) ?? Promise.resolve()).then(() =>
      flushing.run(new Set(within).add(em), async () => {
        try {
          await flushInTransaction(em, plain, begun)
          flushed(em.getUnitOfWork(false), false)
        } catch (error) {
          flushed(em.getUnitOfWork(false), true)
          throw error
        }
      }),
    )
    turns.set(
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
    const attachments = attachmentsOf(entity)
    if (
      attachments === null ||
      removed.has(entity) ||
      !takeAssigned(Object.keys(attachments), entity)
    )
      continue
    refuseUnbound(em, entity.constructor)
    bringers.push([entity, attachments])
  }
  if (bringers.length === 0) return flush()
  const within = async (): Promise<void> => {
    await flush()
    // What was inserted has submitted its files by itself; of what did not change, MikroORM tells nobody.
    for (const [entity, attachments] of bringers) await submit(entity, attachments, em, false)
  }
  if (em.isInTransaction()) return within()
  for (const [entity, attachments] of bringers) await stageAssigned(boundModel(attachments), entity)
  await em.begin()
  begun(chainOf(em)[0])
  try {
    await within()
    await em.commit()
  } catch (error) {
    await em.rollback()
    throw error
  }
}
