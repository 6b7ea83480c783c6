import type { DataSource, EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm'
import { ConfigurationError } from '../../errors.ts'
import { hasAssigned, refuseFiles, stageAssigned, submitAssigned, takeAssigned } from '../assigned.ts'
import { boundModel, isAnyRequired } from '../bound.ts'
import { copyAssigned } from '../copy-assigned.ts'
import { attachmentsOf } from '../with-attachments.ts'
import { idOf, learnEntities, reachable, type Found } from './entities.ts'
import { withRelations } from './relations.ts'
import { afterCommit, began, chainOf, committed, rolledBack } from './transactions.ts'

const watched = new WeakSet<object>()

/** Makes a data source's managers bring files along. Once, whatever is bound to it. */
export function watch(dataSource: DataSource): void {
  if (watched.has(dataSource)) return
  watched.add(dataSource)
  const create = dataSource.createEntityManager.bind(dataSource)
  dataSource.createEntityManager = (runner) => bringing(dataSource, create(runner))
  bringing(dataSource, dataSource.manager)
  const subscribe = (): void => {
    learnEntities(dataSource)
    dataSource.subscribers.push(subscriber)
  }
  if (dataSource.isInitialized) return subscribe()
  const initialize = dataSource.initialize.bind(dataSource)
  dataSource.initialize = async () => {
    await initialize()
    subscribe()
    return dataSource
  }
}

async function submit({ entity, metadata, attachments }: Found, runner: QueryRunner, isNew: boolean): Promise<void> {
  const transaction = { tx: runner.manager, chain: chainOf(runner), afterCommit: (done: () => void) => afterCommit(runner, done) }
  await submitAssigned(boundModel(attachments), entity, idOf(entity, metadata), transaction, isNew)
}

const noTransaction = (type: string, verb: string): ConfigurationError =>
  new ConfigurationError(
    `${type}: ${verb} runs without a transaction here, and its files could be lost or left behind. Use save() and remove(), or call it inside dataSource.transaction(…).`,
  )

/** Entities are inserted and removed in many ways; each passes here. */
const subscriber: EntitySubscriberInterface = {
  beforeInsert({ entity, queryRunner }) {
    const attachments = entity === undefined ? null : attachmentsOf(entity)
    if (attachments === null) return
    const model = boundModel(attachments)
    const matters = takeAssigned([...model.definitions.keys()], entity) || isAnyRequired(model)
    if (matters && !queryRunner.isTransactionActive) throw noTransaction(model.type, 'insert')
  },
  async afterInsert({ entity, metadata, queryRunner }) {
    const attachments = entity === undefined ? null : attachmentsOf(entity)
    if (attachments !== null && queryRunner.isTransactionActive) await submit({ entity, metadata, attachments }, queryRunner, true)
  },
  async beforeRemove({ entity, databaseEntity, metadata, queryRunner, manager }) {
    const removed: object | undefined = databaseEntity ?? entity
    const attachments = removed === undefined ? null : attachmentsOf(removed)
    if (removed === undefined || attachments === null) return
    const model = boundModel(attachments)
    const id = idOf(removed, metadata)
    if (!queryRunner.isTransactionActive) throw noTransaction(model.type, 'remove')
    if (id !== null) await model.record(id, manager).purgeAllLater()
  },
  afterTransactionStart: ({ queryRunner }) => began(queryRunner),
  afterTransactionCommit: ({ queryRunner }) => committed(queryRunner),
  afterTransactionRollback: ({ queryRunner }) => rolledBack(queryRunner),
}

type Call = (...given: unknown[]) => unknown
const isTarget = (given: unknown): boolean =>
  typeof given === 'function' || typeof given === 'string' || (given as { '@instanceof'?: unknown } | null)?.['@instanceof'] !== undefined

/** What reaches entities through a manager: nothing of their files is dropped on the way. */
function bringing(dataSource: DataSource, manager: EntityManager): EntityManager {
  const plain = { save: manager.save, create: manager.create, merge: manager.merge, preload: manager.preload } as unknown as Record<
    string,
    Call
  >
  const own = manager as unknown as Record<string, Call>
  own['save'] = (...given) => {
    const [target, entity, options] = given.length > 1 && isTarget(given[0]) ? given : [undefined, ...given]
    const save = (on: EntityManager): Promise<unknown> => plain['save']!.apply(on, given) as Promise<unknown>
    return saveWith(dataSource, manager, target, Array.isArray(entity) ? entity : [entity], options, save)
  }
  for (const verb of ['find', 'findOne', 'findAndCount']) {
    const find = own[verb]!.bind(manager)
    own[verb] = (target, options) => withRelations(manager, target, options as never, (rest) => find(target, rest) as Promise<unknown>)
  }
  own['create'] = (...given) => {
    const made = plain['create']!.apply(manager, given)
    const list = (value: unknown): unknown[] => (Array.isArray(value) ? (value as unknown[]) : [value])
    list(given[1]).forEach((each, index) => copyAssigned(each, list(made)[index]))
    return made
  }
  own['merge'] = (...given) => {
    const merged = plain['merge']!.apply(manager, given)
    for (const each of given.slice(2)) copyAssigned(each, merged)
    return merged
  }
  own['preload'] = async (...given) => {
    const loaded = await plain['preload']!.apply(manager, given)
    copyAssigned(given[1], loaded)
    return loaded
  }
  for (const [verb, values] of [
    ['insert', (given: unknown[]) => given[1]],
    ['upsert', (given: unknown[]) => given[1]],
    ['update', (given: unknown[]) => given[2]],
  ] as const) {
    const call = own[verb]!.bind(manager)
    own[verb] = (...given) => {
      const attachments = attachmentsFor(dataSource, given[0])
      if (attachments !== null) refuseFiles(`${verb}()`, attachments, values(given), 'save()')
      return call(...given)
    }
  }
  return manager
}

/** In one transaction with what is saved: the one that is open, or one of its own. */
async function saveWith(
  dataSource: DataSource,
  manager: EntityManager,
  target: unknown,
  roots: readonly unknown[],
  options: unknown,
  save: (on: EntityManager) => Promise<unknown>,
): Promise<unknown> {
  const found = dataSource.isInitialized ? reachable(dataSource, target, roots) : []
  const bringers = found.filter(({ entity }) => hasAssigned(entity))
  const [first] = bringers
  if (first === undefined) return save(manager)
  const within = async (on: EntityManager): Promise<unknown> => {
    const saved = await save(on)
    // What was inserted has submitted its files by itself; of what did not change, TypeORM tells nobody.
    for (const each of bringers) await submit(each, on.queryRunner as QueryRunner, false)
    return saved
  }
  if (manager.queryRunner?.isTransactionActive === true) return within(manager)
  if ((options as { transaction?: boolean } | undefined)?.transaction === false)
    throw noTransaction(boundModel(first.attachments).type, 'save with { transaction: false }')
  for (const { entity, attachments } of bringers) await stageAssigned(boundModel(attachments), entity)
  return manager.transaction(within)
}

function attachmentsFor(dataSource: DataSource, target: unknown): object | null {
  const metadata = dataSource.hasMetadata(target as never) ? dataSource.getMetadata(target as never) : null
  return typeof metadata?.target === 'function' ? attachmentsOf(metadata.target) : null
}
