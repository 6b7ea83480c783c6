import type { DataSource, EntitySubscriberInterface, LoadEvent, QueryRunner } from 'typeorm'
import { ConfigurationError } from '../../errors.ts'
import { submitAssigned, takeAssigned, type RecordTransaction } from '../assigned.ts'
import { boundModel, isAnyRequired } from '../bound.ts'
import { attachmentsOf } from '../with-attachments.ts'
import { bind } from './data-sources.ts'
import { idOf, learnEntities, type Found } from './entities.ts'
import { afterCommit, began, chainOf, committed, isOpen, met, rolledBack } from './transactions.ts'

/** Makes what a data source inserts and removes known to its storage. Once, whatever is bound to it. */
export function watch(dataSource: DataSource): void {
  if (!bind(dataSource)) return
  const subscribe = (): void => {
    learnEntities(dataSource)
    dataSource.subscribers.push(subscriber)
  }
  if (dataSource.isInitialized) subscribe()
  // Also the next time: what is initialized again has its subscribers anew.
  const initialize = dataSource.initialize.bind(dataSource)
  dataSource.initialize = async () => {
    await initialize()
    subscribe()
    return dataSource
  }
}

export async function submit(
  { entity, metadata, attachments }: Found,
  runner: QueryRunner,
  isNew: boolean,
): Promise<void> {
  met(entity, runner)
  const chain = chainOf(runner)
  const transaction: RecordTransaction = {
    tx: runner.manager,
    chain,
    afterCommit: (done) => afterCommit(runner, done),
    isOpen: () => isOpen(runner, chain[0]!),
  }
  await submitAssigned(boundModel(attachments), entity, idOf(entity, metadata), transaction, isNew)
}

export const noTransaction = (type: string, verb: string): ConfigurationError =>
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
    if (attachments !== null && queryRunner.isTransactionActive)
      await submit({ entity, metadata, attachments }, queryRunner, true)
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
  afterLoad: (entity: object, event) => met(entity, (event as LoadEvent<object>).queryRunner),
  afterUpdate: ({ entity, queryRunner }) => met(entity, queryRunner),
  afterTransactionStart: ({ queryRunner }) => began(queryRunner),
  afterTransactionCommit: ({ queryRunner }) => committed(queryRunner),
  afterTransactionRollback: ({ queryRunner }) => rolledBack(queryRunner),
}
