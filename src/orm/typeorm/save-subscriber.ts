import type { DataSource, EntitySubscriberInterface, LoadEvent, QueryRunner } from 'typeorm'
import { ConfigurationError } from '../../errors/errors.ts'
import {
  submitPendingFiles,
  takeFilesFromProperties,
  type RecordTransaction,
} from '../pending-files.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import { definitionsOf } from '../with-attachments.ts'
import { bindDataSource } from './bind.ts'
import { idOf, registerEntities, type FoundEntity } from './records.ts'
import {
  afterCommit,
  transactionStarted,
  isRunnerActive,
  levelOf,
  transactionCommitted,
  rememberTransaction,
  transactionRolledBack,
} from './transactions.ts'

/** Makes what a data source inserts and removes known to its storage. Once, whatever is bound to it. */
export function watchDataSource(dataSource: DataSource): void {
  if (!bindDataSource(dataSource)) return
  const subscribe = (): void => {
    registerEntities(dataSource)
    dataSource.subscribers.push(entitySubscriber)
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

export async function submitFiles(
  { entity, metadata, attachments }: FoundEntity,
  runner: QueryRunner,
  isNew: boolean,
): Promise<void> {
  rememberTransaction(entity, runner)
  const level = levelOf(runner)
  const transaction: RecordTransaction = {
    tx: runner.manager,
    chain: level?.chain ?? [],
    afterCommit: (done) => afterCommit(runner, done),
    isActive: () => level?.isActive === true && isRunnerActive(runner),
  }
  await submitPendingFiles(
    requireModel(attachments),
    entity,
    idOf(entity, metadata),
    transaction,
    isNew,
  )
}

export const noTransactionError = (type: string, verb: string): ConfigurationError =>
  new ConfigurationError(
    `${type}: ${verb} runs without a transaction here, and its files could be lost or left behind. Use save() and remove(), or call it inside dataSource.transaction(…).`,
  )

/** Entities are inserted and removed in many ways; each passes here. */
const entitySubscriber: EntitySubscriberInterface = {
  beforeInsert({ entity, queryRunner }) {
    const attachments = entity === undefined ? null : definitionsOf(entity)
    if (attachments === null) return
    const model = requireModel(attachments)
    const matters =
      takeFilesFromProperties([...model.definitions.keys()], entity) || requiresFile(model)
    if (matters && !queryRunner.isTransactionActive) throw noTransactionError(model.type, 'insert')
  },
  async afterInsert({ entity, metadata, queryRunner }) {
    const attachments = entity === undefined ? null : definitionsOf(entity)
    if (attachments !== null && queryRunner.isTransactionActive)
      await submitFiles({ entity, metadata, attachments }, queryRunner, true)
  },
  async beforeRemove({ entity, databaseEntity, metadata, queryRunner, manager }) {
    const removed: object | undefined = databaseEntity ?? entity
    const attachments = removed === undefined ? null : definitionsOf(removed)
    if (removed === undefined || attachments === null) return
    const model = requireModel(attachments)
    const id = idOf(removed, metadata)
    if (!queryRunner.isTransactionActive) throw noTransactionError(model.type, 'remove')
    if (id !== null) await model.record(id, manager).purgeAllLater()
  },
  afterLoad: (entity: object, event) =>
    rememberTransaction(entity, (event as LoadEvent<object>).queryRunner),
  afterUpdate: ({ entity, queryRunner }) => rememberTransaction(entity, queryRunner),
  afterTransactionStart: ({ queryRunner }) => transactionStarted(queryRunner),
  afterTransactionCommit: ({ queryRunner }) => transactionCommitted(queryRunner),
  afterTransactionRollback: ({ queryRunner }) => transactionRolledBack(queryRunner),
}
