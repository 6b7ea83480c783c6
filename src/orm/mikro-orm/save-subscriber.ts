import type { EntityManager, EventArgs, EventSubscriber, FlushEventArgs } from '@mikro-orm/core'
import { ConfigurationError } from '../../errors/errors.ts'
import { isAnyRequired, requireModel, type StorageModel } from '../model-registry.ts'
import { submitAssignedFiles, takeFilesFromProperties } from '../assigned-files.ts'
import { definitionsOf } from '../with-attachments.ts'
import { refuseUnbound } from './bind.ts'
import { primaryKeyOf } from './records.ts'
import { restoreAfterRollback } from './save-rollback.ts'
import { afterCommit, levelOf, transactionEvents } from './transactions.ts'

/** Submits the files of a flushed entity in the transaction that is open in a manager. */
export async function submitFiles(
  entity: object,
  attachments: object,
  em: EntityManager,
  { isNew }: { readonly isNew: boolean },
): Promise<void> {
  await submitAssignedFiles(requireModel(attachments), entity, {
    id: primaryKeyOf(entity),
    isNew,
    transaction: {
      tx: em,
      chain: levelOf(em)?.chain ?? [],
      afterCommit: (done) => afterCommit(em, done),
    },
  })
}

/**
 * Returns the model of an entity that is flushed. Throws ConfigurationError without a storage or a
 * transaction.
 */
function requireModelInTransaction(
  entity: object,
  attachments: object,
  em: EntityManager,
): StorageModel {
  refuseUnbound(em, entity.constructor)
  const model = requireModel(attachments)
  if (!em.isInTransaction())
    throw new ConfigurationError(
      `${model.type} is flushed without a transaction here, and its files could be lost or left behind. Flush inside em.transactional(…), or leave implicitTransactions on.`,
    )
  return model
}

/** All inserts and removes of entities pass here, whichever method of MikroORM made them. */
const flushSubscriber: EventSubscriber<object> = {
  ...transactionEvents,
  onFlush: ({ em, uow }: FlushEventArgs): void => restoreAfterRollback(em, uow),
  async afterCreate({ entity, em }: EventArgs<object>): Promise<void> {
    const attachments = definitionsOf(entity)
    if (attachments === null) return
    const hasFiles = takeFilesFromProperties(Object.keys(attachments), entity)
    if (!hasFiles && !isAnyRequired(attachments)) return
    requireModelInTransaction(entity, attachments, em)
    await submitFiles(entity, attachments, em, { isNew: true })
  },
  async beforeDelete({ entity, em }: EventArgs<object>): Promise<void> {
    const attachments = definitionsOf(entity)
    if (attachments === null) return
    const model = requireModelInTransaction(entity, attachments, em)
    const id = primaryKeyOf(entity)
    if (id !== null) await model.record(id, em).purgeAllLater()
  },
}

/** Subscribes to the events of a manager. A second call for it does nothing. */
export const subscribeManager = (em: EntityManager): void =>
  em.getContext(false).getEventManager().registerSubscriber(flushSubscriber)
