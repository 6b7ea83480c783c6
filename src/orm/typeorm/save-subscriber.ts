import type { DataSource, EntitySubscriberInterface, QueryRunner } from 'typeorm'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import { submitAssignedFiles, takeFilesFromProperties } from '../assigned-files.ts'
import { definitionsOf } from '../with-attachments.ts'
import { bindDataSource } from './bind.ts'
import { idOf, registerEntities, type FoundEntity } from './records.ts'
import {
  afterCommit,
  isRunnerActive,
  levelOf,
  rememberTransaction,
  transactionCommitted,
  transactionRolledBack,
  transactionStarted,
} from './transactions.ts'

/**
 * Subscribes to a data source, now or when it is initialized. A second call for it does nothing.
 */
export function watchDataSource(dataSource: DataSource): void {
  if (!bindDataSource(dataSource)) return
  const subscribe = (): void => {
    registerEntities(dataSource)
    dataSource.subscribers.push(entitySubscriber)
  }
  if (dataSource.isInitialized) subscribe()
  // A data source that is initialized again has lost its subscribers.
  const initialize = dataSource.initialize.bind(dataSource)
  dataSource.initialize = async () => {
    await initialize()
    subscribe()
    return dataSource
  }
}

/** Submits the files of a saved entity in the transaction that is open on a runner. */
export async function submitFiles(
  { entity, metadata, attachments }: FoundEntity,
  runner: QueryRunner,
  { isNew }: { readonly isNew: boolean },
): Promise<void> {
  rememberTransaction(entity, runner)
  const level = levelOf(runner)
  await submitAssignedFiles(requireModel(attachments), entity, {
    id: idOf(entity, metadata),
    isNew,
    transaction: {
      tx: runner.manager,
      chain: level?.chain ?? [],
      afterCommit: (done) => afterCommit(runner, done),
      isActive: () => level?.isActive === true && isRunnerActive(runner),
    },
  })
}

/**
 * Creates the ConfigurationError for a save or a remove outside of a transaction. `verb` names the
 * call.
 */
export const noTransactionError = (type: string, verb: string): ConfigurationError =>
  new ConfigurationError(
    `${type}: ${verb} runs without a transaction here, and its files could be lost or left behind. Use save() and remove(), or call it inside dataSource.transaction(…).`,
  )

/** All inserts and removes of entities pass here, whichever method of TypeORM made them. */
const entitySubscriber: EntitySubscriberInterface = {
  beforeInsert({ entity, queryRunner }) {
    const attachments = entity === undefined ? null : definitionsOf(entity)
    if (attachments === null) return
    const model = requireModel(attachments)
    const needsTransaction =
      takeFilesFromProperties([...model.definitions.keys()], entity) || requiresFile(model)
    if (needsTransaction && !queryRunner.isTransactionActive)
      throw noTransactionError(model.type, 'insert')
  },
  async afterInsert({ entity, metadata, queryRunner }) {
    const attachments = entity === undefined ? null : definitionsOf(entity)
    if (attachments !== null && queryRunner.isTransactionActive)
      await submitFiles({ entity, metadata, attachments }, queryRunner, { isNew: true })
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
  afterLoad: (entity: object, event) => {
    if (event !== undefined) rememberTransaction(entity, event.queryRunner)
  },
  afterUpdate: ({ entity, queryRunner }) => rememberTransaction(entity, queryRunner),
  afterTransactionStart: ({ queryRunner }) => transactionStarted(queryRunner),
  afterTransactionCommit: ({ queryRunner }) => transactionCommitted(queryRunner),
  afterTransactionRollback: ({ queryRunner }) => transactionRolledBack(queryRunner),
}
