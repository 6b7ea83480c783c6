import type { InstanceDestroyOptions, Model, SaveOptions, Transaction } from 'sequelize'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import { hasAssignedFiles, stageAssignedFiles, submitAssignedFiles } from '../assigned-files.ts'
import { saveAndWait } from '../save-and-wait.ts'
import type { ModelInternals } from './internals.ts'
import { appOf, idOf, isParanoid, modelOf } from './records.ts'
import {
  afterRollback,
  beginTransaction,
  openOf,
  rememberTransaction,
  toRecordTransaction,
  type TransactionOption,
} from './transactions.ts'
import { toValidationError } from './validation.ts'

/**
 * Runs `run` in the transaction of the call, or in one of its own: Sequelize opens none by itself,
 * and a record and its files would not be committed together.
 */
export function runInTransaction<T>(
  model: ModelInternals,
  options: TransactionOption | undefined,
  run: (transaction: Transaction) => Promise<T>,
): Promise<T> {
  const app = appOf(model)
  const open = openOf(app, options)
  if (open !== undefined) return run(open)
  return saveAndWait((onBegin) =>
    beginTransaction(app, {}, (transaction) => {
      onBegin(transaction)
      return run(transaction)
    }),
  )
}

/**
 * Remembers the state of a record before it is saved, and returns a function that restores it after
 * a rollback: Sequelize takes a record that was rolled back for saved, and would not write it
 * again. Fields that were changed meanwhile stay changed.
 */
function captureUnsavedState(record: Model): () => void {
  const { isNewRecord } = record
  const key = modelOf(record).primaryKeyAttribute
  const id: unknown = record.getDataValue(key)
  const changed = record.changed() || []
  return () => {
    record.isNewRecord = isNewRecord
    if (isNewRecord) record.setDataValue(key, id)
    for (const name of changed) record.changed(name as keyof Model, true)
  }
}

/** One `save()` of a record. `save` is Sequelize's own. */
export interface RecordSave {
  readonly record: Model
  readonly options: SaveOptions | undefined
  save(options: SaveOptions | undefined): Promise<unknown>
  /** true: files are assigned to the record. */
  readonly hasFiles: boolean
}

/**
 * Saves a record and submits its files in the same transaction. Throws Sequelize's ValidationError
 * for files that the attachment's definition refuses.
 */
export async function saveWithFiles(attachments: AnyAttachments, given: RecordSave): Promise<void> {
  const { record, options, save } = given
  const model = modelOf(record)
  const open = openOf(appOf(model), options)
  rememberTransaction(record, open)
  if (!given.hasFiles && !(record.isNewRecord && requiresFile(requireModel(attachments)))) {
    if (open !== undefined) afterRollback(open, captureUnsavedState(record))
    await save(options)
    return
  }
  try {
    // Files are staged before the transaction begins, so that it holds no locks while bytes are
    // read.
    if (open === undefined && hasAssignedFiles(record))
      await stageAssignedFiles(requireModel(attachments), record)
    await runInTransaction(model, options, async (transaction) => {
      const isNew = record.isNewRecord
      afterRollback(transaction, captureUnsavedState(record))
      await save({ ...options, transaction })
      const tx = toRecordTransaction(transaction)
      await submitAssignedFiles(requireModel(attachments), record, {
        id: idOf(record),
        isNew,
        transaction: tx,
      })
    })
  } catch (error) {
    throw toValidationError(error, record)
  }
}

/**
 * Purges all attachments of a record that is being destroyed. Called by Sequelize's hook
 * `beforeDestroy`.
 */
export async function purgeFiles(
  attachments: AnyAttachments,
  record: Model,
  options: InstanceDestroyOptions,
): Promise<void> {
  const id = idOf(record)
  // A record that is only marked as deleted can be restored with its files.
  if (id === null || (isParanoid(modelOf(record)) && options.force !== true)) return
  const { type, record: recordOf } = requireModel(attachments)
  if (options.transaction == null)
    throw new ConfigurationError(
      `${type}: it is destroyed without a transaction here, and its files could be left behind. Call it inside sequelize.transaction(…).`,
    )
  await recordOf(id, options.transaction).purgeAllLater()
}
