import type { Model, ModelOptions, QueryContext, StaticHookArguments } from 'objection'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { toRecordTransaction } from '../knex/transactions.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import { hasMethod } from '../object-guards.ts'
import { patchMethod } from '../patch-method.ts'
import { hasAssignedFiles, submitAssignedFiles, takeFilesFromLiteral } from '../assigned-files.ts'
import { forgetPreloaded } from '../preloaded.ts'
import type { RecordId } from '../record-id.ts'
import type { QueryInternals } from './internals.ts'
import { patchGraphFetched } from './preload.ts'
import { idOf, isRecord, rememberTransaction, requireTransaction } from './records.ts'
import { patchExecute } from './save.ts'

/** Creates a class whose records are written, and deleted, together with their files. */
export function createModelWithFiles(
  attachments: AnyAttachments,
  base: typeof Model,
): typeof Model {
  const model = overrideStaticHooks(attachments, overrideMembers(attachments, base))
  patchMethod(
    model,
    'query',
    (query) =>
      function (...given) {
        return patchQuery(query.call(this, ...given), Object.keys(attachments))
      },
  )
  return model
}

const isQuery = (value: unknown): value is QueryInternals => hasMethod(value, 'withGraphFetched')

/**
 * Patches a query, and each that is cloned from it. The app's own QueryBuilder class stays as it
 * is.
 */
function patchQuery(query: unknown, names: readonly string[]): unknown {
  if (!isQuery(query)) return query
  patchExecute(query)
  patchGraphFetched(query, names)
  patchMethod(
    query,
    'clone',
    (clone) =>
      function () {
        return patchQuery(clone.call(this), names)
      },
  )
  return query
}

/** Extends a class by the hooks of one record. */
function overrideMembers(attachments: AnyAttachments, base: typeof Model): typeof Model {
  const names = Object.keys(attachments)

  return class extends base {
    override $setJson(json: object, options?: ModelOptions): this {
      return super.$setJson(takeFilesFromLiteral(names, json, this), options)
    }

    override $afterFind(context: QueryContext): Promise<unknown> | void {
      rememberTransaction(this, context)
      return super.$afterFind(context)
    }

    override async $afterUpdate(options: ModelOptions, context: QueryContext): Promise<void> {
      await super.$afterUpdate(options, context)
      for (const record of [this, options.old]) {
        if (!isRecord(record)) continue
        rememberTransaction(record, context)
        if (hasAssignedFiles(this)) forgetPreloaded(record)
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
      if (!hasAssignedFiles(this) && !requiresFile(model)) return
      const trx = requireTransaction(context.transaction, model.type, 'insert')
      await submitAssignedFiles(model, this, {
        id: idOf(this),
        isNew: true,
        transaction: toRecordTransaction(trx),
      })
    }
  }
}

/**
 * Extends a class by the hooks of updates and deletions, which may be of records that are not
 * loaded.
 */
function overrideStaticHooks(attachments: AnyAttachments, base: typeof Model): typeof Model {
  return class extends base {
    static override async beforeUpdate(given: StaticHookArguments<Model>): Promise<unknown> {
      const result: unknown = await super.beforeUpdate(given)
      for (const patch of given.inputItems)
        if (hasAssignedFiles(patch)) await submitPatch(attachments, patch, given)
      return result
    }

    static override async beforeDelete(given: StaticHookArguments<Model>): Promise<unknown> {
      const result: unknown = await super.beforeDelete(given)
      const model = requireModel(attachments)
      const trx = requireTransaction(given.transaction, model.type, 'delete')
      for (const id of await readIds(given)) await model.record(id, trx).purgeAllLater()
      return result
    }
  }
}

async function submitPatch(
  attachments: AnyAttachments,
  patch: Model,
  given: StaticHookArguments<Model>,
): Promise<void> {
  const model = requireModel(attachments)
  const trx = requireTransaction(given.transaction, model.type, 'update')
  const [id, another] = await readIds(given)
  if (another !== undefined)
    throw new ConfigurationError(
      `${model.type}: this update changes many records, but a file belongs to one. Patch the records one by one.`,
    )
  if (id === undefined) return
  await submitAssignedFiles(model, patch, {
    id,
    isNew: false,
    transaction: toRecordTransaction(trx),
  })
  // Objection sends no UPDATE for an empty patch, and would report that no record was updated.
  if (Object.keys(patch).length === 0) patch.$id(id)
}

/** Reads the ids of the records that an update or a deletion is about. */
async function readIds({
  items,
  relation,
  asFindQuery,
}: StaticHookArguments<Model>): Promise<RecordId[]> {
  // The items of a query on a relation are the records that own it, not those that are changed.
  const isLoaded = items.length > 0 && relation === undefined
  // A query for one record that does not exist returns a list with undefined in it.
  const records: readonly (Model | undefined)[] = isLoaded ? items : await asFindQuery()
  return records.flatMap((record) => {
    const id = record === undefined ? null : idOf(record)
    return id === null ? [] : [id]
  })
}
