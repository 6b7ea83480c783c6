import type { TransactionClientContract } from '@adonisjs/lucid/types/database'
import type { LucidModel, LucidRow } from '@adonisjs/lucid/types/model'
import type { AnyAttachments } from '../../attached/definitions.ts'
import {
  hasPendingFiles,
  stagePendingFiles,
  submitPendingFiles,
  takeFilesFromProperties,
  takeFilesFromLiteral,
} from '../pending-files.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { afterCommit, chainOf } from '../knex/transactions.ts'
import type { RecordWithFiles, ClassWithFiles } from './types.ts'
import { beginTransaction, watchClient } from './transactions.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { saveAndFinish } from '../save-and-finish.ts'
import { mixInAttachments, type Constructor, type WithAttachments } from '../with-attachments.ts'

/** What models have by `withAttachments`. */
export type Attached<D> = WithAttachments<D>

/** null: it has none yet. */
const idOf = (record: LucidRow): RecordId | null =>
  record.$isPersisted ? toRecordId(record.$primaryKeyValue) : null

/**
 * In the transaction that the record is in, or in one of its own, which Lucid opens for many records but not for one: `begun` is told
 * of that.
 */
async function runInTransaction<T>(
  record: LucidRow,
  run: (trx: TransactionClientContract) => Promise<T>,
  begun: (transaction: object | undefined) => void = () => undefined,
): Promise<T> {
  if (record.$trx !== undefined) return run(watchClient(record.$trx))
  const { $isPersisted, $attributes, $original } = record
  const before = { $isPersisted, $attributes: { ...$attributes }, $original: { ...$original } }
  try {
    const client = (record.constructor as LucidModel).$adapter.modelClient(record)
    return await beginTransaction(client, (trx) => {
      begun(chainOf(watchClient(trx).knexClient)[0])
      return run(record.useTransaction(trx).$trx!)
    })
  } catch (error) {
    // Lucid takes what was rolled back for saved, and would not write it again.
    Object.assign(record, before)
    throw error
  }
}

/**
 * A base class for models: `user.photoTmp = file` is attached in the background when the record is saved, `user.photo` is what
 * is attached. Pass the same object to createActiveStorage, and `BaseModel`, or a base of the app's own, as the second argument.
 *
 * @example
 * const { BaseModel } = await import('@adonisjs/lucid/orm')
 * const { withAttachments } = await import('activestorage-delayed/lucid')
 * class User extends withAttachments(userAttachments, BaseModel) {
 *   declare id: number
 *   declare name: string
 * }
 * const user = await User.create({ name: 'Ada', photoTmp: file })
 */
export function withAttachments<D extends AnyAttachments, B extends LucidModel>(
  attachments: D,
  base: B,
): B & ClassWithFiles<D> & Constructor<RecordWithFiles<D> & WithAttachments<D>> {
  const names = Object.keys(attachments)

  async function save(record: LucidRow, plain: () => Promise<unknown>): Promise<void> {
    const model = requireModel(attachments)
    const isNew = !record.$isPersisted
    const matters = takeFilesFromProperties(names, record) || (isNew && requiresFile(model))
    if (!matters) return void (await plain())
    if (record.$trx === undefined && hasPendingFiles(record)) await stagePendingFiles(model, record)
    const saved = async (trx: TransactionClientContract): Promise<void> => {
      await plain()
      const { knexClient } = trx
      const open = {
        tx: trx,
        chain: chainOf(knexClient),
        afterCommit: (done: () => void) => afterCommit(knexClient, done),
      }
      await submitPendingFiles(model, record, idOf(record), open, isNew)
    }
    await saveAndFinish((begun) => runInTransaction(record, saved, begun))
  }

  const remove = (record: LucidRow, plain: () => Promise<unknown>): Promise<void> =>
    runInTransaction(record, async (trx) => {
      const id = idOf(record)
      if (id !== null) await requireModel(attachments).record(id, trx).purgeAllLater()
      await plain()
    })

  class Mixed extends (base as unknown as Constructor<LucidRow>) {
    override merge(values: object, allowExtraProperties?: boolean): this {
      return super.merge(takeFilesFromLiteral(names, values, this) as never, allowExtraProperties)
    }

    override async save(): Promise<this> {
      await save(this, () => super.save())
      return this
    }

    override async saveQuietly(): Promise<this> {
      await save(this, () => super.saveQuietly())
      return this
    }

    override refresh(): Promise<this> {
      forgetPreloaded(this)
      return super.refresh()
    }

    override delete(): Promise<void> {
      return remove(this, () => super.delete())
    }

    override deleteQuietly(): Promise<void> {
      return remove(this, () => super.deleteQuietly())
    }
  }
  return mixInAttachments(attachments, Mixed, {
    idOf,
    transactionOf: ({ $trx }) => $trx,
  }) as unknown as B & ClassWithFiles<D> & Constructor<RecordWithFiles<D> & WithAttachments<D>>
}
