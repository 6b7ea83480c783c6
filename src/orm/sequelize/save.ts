import type {
  CreateOptions,
  FindOptions,
  InstanceDestroyOptions,
  Model,
  ModelStatic,
  SaveOptions,
  Transaction,
} from 'sequelize'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import {
  assignFile,
  hasPendingFiles,
  refuseFiles,
  stagePendingFiles,
  submitPendingFiles,
  takeFilesFromProperties,
  takeFilesFromLiteral,
} from '../pending-files.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import { fileKeysOf } from '../reserved-members.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { saveAndFinish } from '../save-and-finish.ts'
import type { Constructor } from '../with-attachments.ts'
import { beginTransaction } from './begin.ts'
import { idOf, isParanoid } from './records.ts'
import {
  afterCommit,
  afterRollback,
  chainOf,
  isFinished,
  rememberTransaction,
  openOf,
} from './transactions.ts'
import { toValidationError } from './validation.ts'

type ColumnValues = Readonly<Record<string, unknown>>
interface TransactionOption {
  readonly transaction?: Transaction | null | undefined
}

/** Sequelize opens no transaction by itself: without one, a record and its files would not be committed together. */
const runInTransaction = <T>(
  model: ModelStatic<Model>,
  options: TransactionOption | undefined,
  run: (tx: Transaction) => Promise<T>,
): Promise<T> => {
  const open = openOf(model.sequelize!, options)
  if (open !== undefined) return run(open)
  return saveAndFinish((begun) =>
    beginTransaction(model.sequelize!, {}, (transaction) => {
      begun(transaction)
      return run(transaction)
    }),
  )
}

/**
 * Makes a record again what it is now, before it is saved: Sequelize takes what was rolled back for saved, and would not write
 * it again. What is changed meanwhile stays.
 */
function captureUnsavedState(record: Model): () => void {
  const { isNewRecord } = record
  const key = (record.constructor as ModelStatic<Model>).primaryKeyAttribute
  const id: unknown = record.getDataValue(key as never)
  const changed = record.changed()
  return () => {
    record.isNewRecord = isNewRecord
    if (isNewRecord) record.setDataValue(key as never, id as never)
    for (const each of changed === false ? [] : changed) record.changed(each as never, true)
  }
}

/** A class whose records bring their files along. */
export function createModelWithFiles(
  attachments: AnyAttachments,
  base: ModelStatic<Model>,
): Constructor<Model> {
  const names = Object.keys(attachments)
  const keys: ReadonlySet<string> = new Set(fileKeysOf(names))
  const needsFiles = (): boolean => requiresFile(requireModel(attachments))
  const refuse = (verb: string, values: unknown): void =>
    refuseFiles(verb, attachments, values, 'create() or save()')

  async function saveIn(
    record: Bringing,
    transaction: Transaction,
    options: SaveOptions | undefined,
  ): Promise<Bringing> {
    const isNew = record.isNewRecord
    afterRollback(transaction, captureUnsavedState(record))
    await record.plainSave({ ...options, transaction })
    const open = {
      tx: transaction,
      chain: chainOf(transaction),
      afterCommit: (done: () => void) => afterCommit(transaction, done),
      isOpen: () => !isFinished(transaction),
    }
    await submitPendingFiles(requireModel(attachments), record, idOf(record), open, isNew)
    return record
  }

  async function purge(
    record: Model,
    options: TransactionOption & InstanceDestroyOptions,
  ): Promise<void> {
    const id = idOf(record)
    // What is only marked as deleted can be restored, with its files.
    if (
      id === null ||
      (isParanoid(record.constructor as ModelStatic<Model>) && options.force !== true)
    )
      return
    const { type, record: recordOf } = requireModel(attachments)
    if (options.transaction == null)
      throw new ConfigurationError(
        `${type}: it is destroyed without a transaction here, and its files could be left behind. Call it inside sequelize.transaction(…).`,
      )
    await recordOf(id, options.transaction).purgeAllLater()
  }

  class Bringing extends (base as Constructor<Model> & { prototype: Model }) {
    static init(this: ModelStatic<Model>, ...given: unknown[]): unknown {
      const model = (base.init as unknown as (...given: unknown[]) => ModelStatic<Model>).apply(
        this,
        given,
      )
      model.addHook('beforeDestroy', 'activestorage-delayed', purge as never)
      return model
    }

    static async bulkCreate(
      this: ModelStatic<Model>,
      records: readonly ColumnValues[],
      options?: TransactionOption & ColumnValues,
    ): Promise<unknown> {
      const plain = base.bulkCreate as unknown as (
        records: readonly ColumnValues[],
        options?: unknown,
      ) => Promise<unknown>
      if (
        !needsFiles() &&
        !records.some((record) => Object.keys(record).some((key) => keys.has(key)))
      )
        return plain.call(this, records, options)
      if (options?.['updateOnDuplicate'] !== undefined || options?.['ignoreDuplicates'] === true)
        refuse('bulkCreate() with updateOnDuplicate or ignoreDuplicates', records)
      return runInTransaction(this, options, (transaction) =>
        plain.call(this, records, { ...options, transaction, individualHooks: true }),
      )
    }

    static update(
      this: ModelStatic<Model>,
      values: ColumnValues,
      options: unknown,
    ): Promise<unknown> {
      refuse('Model.update()', values)
      return (
        base.update as unknown as (values: ColumnValues, options: unknown) => Promise<unknown>
      ).call(this, values, options)
    }

    static upsert(
      this: ModelStatic<Model>,
      values: ColumnValues,
      options: unknown,
    ): Promise<unknown> {
      refuse('upsert()', values)
      return (
        base.upsert as unknown as (values: ColumnValues, options: unknown) => Promise<unknown>
      ).call(this, values, options)
    }

    /** One by one, so that each takes its files with it, unless `individualHooks: false` says otherwise. */
    static destroy(
      this: ModelStatic<Model>,
      options: TransactionOption & ColumnValues,
    ): Promise<unknown> {
      const plain = base.destroy as unknown as (options: unknown) => Promise<unknown>
      if (
        options['individualHooks'] === false ||
        options['truncate'] === true ||
        options['hooks'] === false
      )
        return plain.call(this, options)
      return runInTransaction(this, options, (transaction) =>
        plain.call(this, { ...options, transaction, individualHooks: true }),
      )
    }

    plainSave(options?: SaveOptions): Promise<unknown> {
      return super.save(options)
    }

    override set(...given: readonly unknown[]): this {
      const [key, value] = given
      const plain = super.set.bind(this) as unknown as (...given: readonly unknown[]) => unknown
      if (typeof key === 'string' && keys.has(key))
        takeFilesFromProperties(names, { [key]: value }, this)
      else if (
        typeof key !== 'object' ||
        key === null ||
        !Object.keys(key).some((each) => keys.has(each))
      )
        plain(...given)
      else plain(takeFilesFromLiteral(names, key, this), ...given.slice(1))
      return this
    }

    override async save(options?: SaveOptions & CreateOptions): Promise<this> {
      const model = this.constructor as ModelStatic<Model>
      // Fields of these names, where a class declares them, hide the accessors.
      const brings = takeFilesFromProperties(names, this)
      const open = openOf(model.sequelize!, options)
      rememberTransaction(this, open)
      if (!brings && !(this.isNewRecord && needsFiles())) {
        if (open !== undefined) afterRollback(open, captureUnsavedState(this))
        return super.save(options)
      }
      try {
        if (open === undefined && hasPendingFiles(this))
          await stagePendingFiles(requireModel(attachments), this)
        await runInTransaction(model, options, (transaction) => saveIn(this, transaction, options))
        return this
      } catch (error) {
        throw toValidationError(error, this)
      }
    }

    override reload(options?: FindOptions): Promise<this> {
      forgetPreloaded(this)
      rememberTransaction(
        this,
        openOf((this.constructor as ModelStatic<Model>).sequelize!, options),
      )
      if (hasPendingFiles(this))
        for (const name of names) assignFile(this, name, 'attachLater', undefined)
      return super.reload(options)
    }

    override async destroy(options?: InstanceDestroyOptions): Promise<void> {
      const model = this.constructor as ModelStatic<Model>
      await runInTransaction(model, options, (transaction) =>
        super.destroy({ ...options, transaction }),
      )
    }
  }
  Object.defineProperty(Bringing.prototype, 'plainSave', { enumerable: false })
  return Bringing
}
