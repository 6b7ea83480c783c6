import type {
  Model,
  ModelOptions,
  QueryBuilder,
  QueryContext,
  StaticHookArguments,
} from 'objection'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { hasPendingFiles, takeFilesFromLiteral } from '../pending-files.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import { forgetPreloaded } from '../preloaded.ts'
import type { RecordId } from '../record-id.ts'
import { mixInAttachments, type Constructor, type WithAttachments } from '../with-attachments.ts'
import { patchGraphFetched } from './preload.ts'
import type { RecordWithFiles } from './types.ts'
import { patchExecute } from './save.ts'
import {
  idOf,
  rememberTransaction,
  transactionOf,
  submitFiles,
  requireTransaction,
} from './records.ts'

/** A query, and each that is cloned from it. A class's own QueryBuilder stays what it is. */
function patchQuery(query: QueryBuilder<Model>, names: readonly string[]): QueryBuilder<Model> {
  patchExecute(query)
  patchGraphFetched(query, names)
  const clone = query.clone.bind(query)
  query.clone = () => patchQuery(clone(), names) as never
  return query
}

/**
 * A base class for models: `photoTmp` of what is inserted or patched is attached in the background, `user.photo` is what is
 * attached. Pass the same object to createActiveStorage, and `Model`, or a base of the app's own, as the second argument.
 *
 * @example
 * const { Model } = await import('objection')
 * const { withAttachments } = await import('activestorage-delayed/objection')
 * class User extends withAttachments(userAttachments, Model) {
 *   static override tableName = 'users'
 *   declare id: string
 *   declare name: string
 * }
 * const user = await User.query().insert({ name: 'Ada', photoTmp: file })
 */
export function withAttachments<D extends AnyAttachments, B extends typeof Model>(
  attachments: D,
  base: B,
): B & Constructor<RecordWithFiles<D> & WithAttachments<D>> {
  const names = Object.keys(attachments)
  const ids = async ({
    items,
    relation,
    asFindQuery,
  }: StaticHookArguments<Model>): Promise<RecordId[]> => {
    // Through a relation, the items are those that it is of.
    const found =
      items.length > 0 && relation === undefined
        ? (items as Model[])
        : ((await asFindQuery()) as unknown as (Model | undefined)[])
    // Of a query for one that is not there, Objection gives a list with nothing in it.
    return found
      .map((record) => (record === undefined ? null : idOf(record)))
      .filter((id) => id !== null)
  }

  class Mixed extends (base as unknown as Constructor<Model> & typeof Model) {
    static override query(...given: never[]): never {
      return patchQuery(
        (base.query as (...given: never[]) => QueryBuilder<Model>).apply(this, given),
        names,
      ) as never
    }

    override $setJson(json: object, options?: object): this {
      return super.$setJson(takeFilesFromLiteral(names, json, this), options)
    }

    override $afterFind(context: QueryContext): Promise<unknown> | void {
      rememberTransaction(this, context)
      return super.$afterFind(context)
    }

    override async $afterUpdate(options: ModelOptions, context: QueryContext): Promise<void> {
      await super.$afterUpdate(options, context)
      for (const record of [this, options.old as Model | undefined]) {
        if (record === undefined) continue
        rememberTransaction(record, context)
        if (hasPendingFiles(this)) forgetPreloaded(record)
      }
    }

    override async $afterDelete(context: QueryContext): Promise<void> {
      await super.$afterDelete(context)
      rememberTransaction(this, context)
    }

    override async $afterInsert(context: QueryContext): Promise<void> {
      await super.$afterInsert(context)
      rememberTransaction(this, context)
      const model = requireModel(attachments)
      if (!hasPendingFiles(this) && !requiresFile(model)) return
      const trx = requireTransaction(context.transaction, model.type, 'insert')
      await submitFiles(model, this, idOf(this), trx, true)
    }

    static override async beforeUpdate(given: StaticHookArguments<Model>): Promise<unknown> {
      const result: unknown = await base.beforeUpdate(given)
      for (const patch of given.inputItems as Model[]) {
        if (!hasPendingFiles(patch)) continue
        const model = requireModel(attachments)
        const trx = requireTransaction(given.transaction, model.type, 'update')
        const [id, another] = await ids(given)
        if (another !== undefined)
          throw new ConfigurationError(
            `${model.type}: this update is of many records, and a file is for one. Patch them one by one.`,
          )
        if (id === undefined) continue
        await submitFiles(model, patch, id, trx, false)
        // Objection sends no UPDATE of nothing, and answers that there was nothing to update.
        if (Object.keys(patch).length === 0) patch.$id(id)
      }
      return result
    }

    static override async beforeDelete(given: StaticHookArguments<Model>): Promise<unknown> {
      const result: unknown = await base.beforeDelete(given)
      const model = requireModel(attachments)
      const trx = requireTransaction(given.transaction, model.type, 'delete')
      for (const id of await ids(given)) await model.record(id, trx).purgeAllLater()
      return result
    }
  }
  return mixInAttachments(attachments, Mixed as unknown as B & Constructor<Model>, {
    idOf,
    transactionOf: transactionOf,
  }) as unknown as B & Constructor<RecordWithFiles<D> & WithAttachments<D>>
}
