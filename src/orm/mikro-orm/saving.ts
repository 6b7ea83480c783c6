import type { EntityManager, EventArgs } from '@mikro-orm/core'
import { ConfigurationError } from '../../errors.ts'
import { refuseFiles, stageAssigned, submitAssigned, takeAssigned } from '../assigned.ts'
import { boundModel, isAnyRequired } from '../bound.ts'
import { copyAssigned } from '../copy-assigned.ts'
import { forgetLoaded } from '../loaded.ts'
import { attachmentsOf } from '../with-attachments.ts'
import { keyOf } from './entities.ts'
import { populating } from './populating.ts'
import { afterCommit, chainOf, transactionEvents } from './transactions.ts'

const noTransaction = (type: string): ConfigurationError =>
  new ConfigurationError(
    `${type}: it is flushed without a transaction here, and its files could be lost or left behind. Flush inside em.transactional(…), or leave implicitTransactions on.`,
  )

async function submit(entity: object, attachments: object, em: EntityManager, isNew: boolean): Promise<void> {
  await submitAssigned(
    boundModel(attachments),
    entity,
    keyOf(entity),
    { tx: em, chain: chainOf(em), afterCommit: (done) => afterCommit(em, done) },
    isNew,
  )
}

/** Entities are inserted and removed in many ways; each passes here. */
const subscriber = {
  ...transactionEvents,
  async afterCreate({ entity, em }: EventArgs<object>): Promise<void> {
    const attachments = attachmentsOf(entity)
    if (attachments === null) return
    const model = boundModel(attachments)
    if (!takeAssigned([...model.definitions.keys()], entity) && !isAnyRequired(model)) return
    if (!em.isInTransaction()) throw noTransaction(model.type)
    await submit(entity, attachments, em, true)
  },
  async beforeDelete({ entity, em }: EventArgs<object>): Promise<void> {
    const attachments = attachmentsOf(entity)
    if (attachments === null) return
    const model = boundModel(attachments)
    if (!em.isInTransaction()) throw noTransaction(model.type)
    const id = keyOf(entity)
    if (id !== null) await model.record(id, em).purgeAllLater()
  },
}

type Call = (...given: unknown[]) => unknown
const watched = new WeakSet<EntityManager>()

/** Makes a manager, and those that are forked from it, bring files along. Once, whatever is bound to it. */
export function watch(em: EntityManager): void {
  if (watched.has(em)) return
  em.getEventManager().registerSubscriber(subscriber as never)
  bringing(em)
}

/** What reaches entities through a manager: nothing of their files is dropped on the way. */
function bringing(em: EntityManager): EntityManager {
  watched.add(em)
  populating(em)
  const own = em as unknown as Record<string, Call>
  const plain = (name: string): Call => own[name]!.bind(em)
  const [fork, flush, refresh] = [plain('fork'), plain('flush'), plain('refresh')]
  const [create, merge] = [plain('create'), plain('merge')]
  own['fork'] = (...given) => bringing(fork(...given) as EntityManager)
  own['flush'] = () => flushWith(em, flush as () => Promise<void>)
  own['refresh'] = (entity, ...rest) => {
    forgetLoaded(entity as object)
    return refresh(entity, ...rest)
  }
  own['create'] = (type, data, ...rest) => {
    const made = create(type, data, ...rest)
    copyAssigned(data, made)
    return made
  }
  own['merge'] = (...given) => {
    const merged = merge(...given)
    if (given.length > 1) copyAssigned(given[1], merged)
    return merged
  }
  for (const [verb, values] of [
    ['insert', 1],
    ['insertMany', 1],
    ['upsert', 1],
    ['upsertMany', 1],
    ['nativeUpdate', 2],
  ] as const) {
    const call = plain(verb)
    own[verb] = (...given) => {
      const [type] = given
      for (const each of [given[values] ?? type].flat()) {
        const attachments =
          typeof type === 'function' ? attachmentsOf(type) : typeof each === 'object' && each !== null ? attachmentsOf(each) : null
        if (attachments !== null) refuseFiles(`${verb}()`, attachments, each, 'create() and flush()')
      }
      return call(...given)
    }
  }
  return em
}

/** In one transaction with what is flushed: the one that is open, or one of its own. */
async function flushWith(em: EntityManager, flush: () => Promise<void>): Promise<void> {
  const work = em.getUnitOfWork()
  const removed = work.getRemoveStack()
  const bringers: [entity: object, attachments: object][] = []
  for (const entity of new Set<object>([...work.getIdentityMap(), ...work.getPersistStack()])) {
    const attachments = attachmentsOf(entity)
    if (attachments !== null && !removed.has(entity) && takeAssigned(Object.keys(attachments), entity)) bringers.push([entity, attachments])
  }
  if (bringers.length === 0) return flush()
  const within = async (): Promise<void> => {
    await flush()
    // What was inserted has submitted its files by itself; of what did not change, MikroORM tells nobody.
    for (const [entity, attachments] of bringers) await submit(entity, attachments, em.getContext(), false)
  }
  if (em.isInTransaction()) return within()
  for (const [entity, attachments] of bringers) await stageAssigned(boundModel(attachments), entity)
  await em.begin()
  try {
    await within()
    await em.commit()
  } catch (error) {
    await em.rollback()
    throw error
  }
}
