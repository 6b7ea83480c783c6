import type { LucidModel, LucidRow } from '@adonisjs/lucid/types/model'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { toRecordTransaction } from '../knex/transactions.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import {
  hasAssignedFiles,
  stageAssignedFiles,
  submitAssignedFiles,
  takeFilesFromLiteral,
  takeFilesFromProperties,
} from '../assigned-files.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { saveAndWait } from '../save-and-wait.ts'
import { idOf } from './records.ts'
import { runInTransaction } from './transactions.ts'

/** Saves a record and submits its files in the same transaction. `save` is Lucid's own. */
async function saveWithFiles(
  attachments: AnyAttachments,
  record: LucidRow,
  save: () => Promise<unknown>,
): Promise<void> {
  const model = requireModel(attachments)
  const isNew = !record.$isPersisted
  const hasFiles = takeFilesFromProperties(Object.keys(attachments), record)
  if (!hasFiles && !(isNew && requiresFile(model))) {
    await save()
    return
  }
  // Files are staged before the transaction begins, so that it holds no locks while bytes are read.
  if (record.$trx === undefined && hasAssignedFiles(record)) await stageAssignedFiles(model, record)
  await saveAndWait((onBegin) =>
    runInTransaction(
      record,
      async (trx) => {
        await save()
        const tx = toRecordTransaction(trx.knexClient, trx)
        await submitAssignedFiles(model, record, { id: idOf(record), isNew, transaction: tx })
      },
      onBegin,
    ),
  )
}

/** Deletes a record and purges its attachments in the same transaction. `remove` is Lucid's own. */
const deleteWithFiles = (
  attachments: AnyAttachments,
  record: LucidRow,
  remove: () => Promise<unknown>,
): Promise<void> =>
  runInTransaction(record, async (trx) => {
    const id = idOf(record)
    if (id !== null) await requireModel(attachments).record(id, trx).purgeAllLater()
    await remove()
  })

/** Creates a class whose records are saved, and deleted, together with their files. */
export function createModelWithFiles(attachments: AnyAttachments, base: LucidModel): LucidModel {
  const names = Object.keys(attachments)

  return class extends base {
    override merge(values: object, allowExtraProperties?: boolean): this {
      const columns = takeFilesFromLiteral(names, values, this)
      Reflect.apply(super.merge, this, [columns, allowExtraProperties])
      return this
    }

    override async save(): Promise<this> {
      await saveWithFiles(attachments, this, () => super.save())
      return this
    }

    override async saveQuietly(): Promise<this> {
      await saveWithFiles(attachments, this, () => super.saveQuietly())
      return this
    }

    override refresh(): Promise<this> {
      forgetPreloaded(this)
      return super.refresh()
    }

    override delete(): Promise<void> {
      return deleteWithFiles(attachments, this, () => super.delete())
    }

    override deleteQuietly(): Promise<void> {
      return deleteWithFiles(attachments, this, () => super.deleteQuietly())
    }
  }
}
