import type { Knex } from 'knex'
import type { Model, QueryBuilder } from 'objection'
import { hasPendingFiles, stagePendingFiles } from '../pending-files.ts'
import { requiresFile } from '../model-registry.ts'
import { chainOf } from '../knex/transactions.ts'
import { saveAndFinish } from '../save-and-finish.ts'
import { collectGraph, idOf, findModel, submitFiles } from './records.ts'
import { toValidationError } from './validation.ts'

/** What Objection keeps of a query, and does not type. */
interface QueryInternals {
  findOperation(predicate: (operation: QueryOperation) => boolean): QueryOperation | null
  execute(): Promise<unknown>
  transacting(db: Knex): unknown
  unsafeKnex(): Knex
}
interface QueryOperation {
  readonly models?: readonly Model[]
  readonly model?: Model
}
type QueryWithInternals = Omit<QueryBuilder<Model>, keyof QueryInternals> & QueryInternals

/** The records that a query brings, with what they are related to. */
function readInput(query: QueryWithInternals): Model[] {
  const { models, model } = query.findOperation((each) => (each.models ?? each.model) != null) ?? {}
  return collectGraph(models ?? (model === undefined ? [] : [model]))
}

const isFileRequired = (record: Model): boolean => {
  const model = findModel(record)
  return model !== null && requiresFile(model)
}

/** Makes a query that brings files, or removes a record, run in a transaction: Objection opens none by itself. */
export function patchExecute(given: QueryBuilder<Model>): void {
  const query = given as unknown as QueryWithInternals
  const plain = query.execute.bind(query)
  query.execute = () =>
    bringing().catch((error: unknown) => {
      throw toValidationError(error, given.modelClass())
    })
  const bringing = async (): Promise<unknown> => {
    const isGraph = query.has(/graph/i)
    if (!query.isInsert() && !query.isUpdate() && !query.isDelete() && !isGraph) return plain()
    const input = readInput(query)
    const bringers = input.filter(hasPendingFiles)
    // A graph removes what it does not name.
    const matters =
      query.isDelete() ||
      isGraph ||
      bringers.length > 0 ||
      (query.isInsert() && input.some(isFileRequired))
    if (!matters) return plain()
    const within = async (trx: Knex.Transaction, run: () => Promise<unknown>): Promise<unknown> => {
      const result = await run()
      // Of what did not change, a graph has no query, and no hook is told.
      for (const record of bringers) {
        const [model, id] = [findModel(record), idOf(record)]
        if (model !== null && id !== null) await submitFiles(model, record, id, trx, false)
      }
      return result
    }
    const db = query.unsafeKnex()
    if (db.isTransaction === true) return within(db as Knex.Transaction, plain)
    if (query.isInsert())
      for (const record of bringers) await stagePendingFiles(findModel(record)!, record)
    try {
      return await saveAndFinish((begun) =>
        db.transaction((trx) => {
          begun(chainOf(trx)[0])
          query.transacting(trx)
          return within(trx, plain)
        }),
      )
    } finally {
      query.transacting(db)
    }
  }
}
