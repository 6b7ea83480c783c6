import type { Knex } from 'knex'
import type { Model, QueryBuilder } from 'objection'
import { hasAssigned, stageAssigned } from '../assigned.ts'
import { isAnyRequired } from '../bound.ts'
import { chainOf } from '../knex/transactions.ts'
import { saveAndFinish } from '../save-and-finish.ts'
import { graph, idOf, modelOf, submit } from './records.ts'
import { asValidationError } from './validation.ts'

/** What Objection keeps of a query, and does not type. */
interface Inside {
  findOperation(predicate: (operation: Operation) => boolean): Operation | null
  execute(): Promise<unknown>
  transacting(db: Knex): unknown
  unsafeKnex(): Knex
}
interface Operation {
  readonly models?: readonly Model[]
  readonly model?: Model
}
type Query = Omit<QueryBuilder<Model>, keyof Inside> & Inside

/** The records that a query brings, with what they are related to. */
function inputOf(query: Query): Model[] {
  const { models, model } = query.findOperation((each) => (each.models ?? each.model) != null) ?? {}
  return graph(models ?? (model === undefined ? [] : [model]))
}

const needsFiles = (record: Model): boolean => {
  const model = modelOf(record)
  return model !== null && isAnyRequired(model)
}

/** Makes a query that brings files, or removes a record, run in a transaction: Objection opens none by itself. */
export function inTransaction(given: QueryBuilder<Model>): void {
  const query = given as unknown as Query
  const plain = query.execute.bind(query)
  query.execute = () =>
    bringing().catch((error: unknown) => {
      throw asValidationError(error, given.modelClass())
    })
  const bringing = async (): Promise<unknown> => {
    const isGraph = query.has(/graph/i)
    if (!query.isInsert() && !query.isUpdate() && !query.isDelete() && !isGraph) return plain()
    const input = inputOf(query)
    const bringers = input.filter(hasAssigned)
    // A graph removes what it does not name.
    const matters =
      query.isDelete() ||
      isGraph ||
      bringers.length > 0 ||
      (query.isInsert() && input.some(needsFiles))
    if (!matters) return plain()
    const within = async (trx: Knex.Transaction, run: () => Promise<unknown>): Promise<unknown> => {
      const result = await run()
      // Of what did not change, a graph has no query, and no hook is told.
      for (const record of bringers) {
        const [model, id] = [modelOf(record), idOf(record)]
        if (model !== null && id !== null) await submit(model, record, id, trx, false)
      }
      return result
    }
    const db = query.unsafeKnex()
    if (db.isTransaction === true) return within(db as Knex.Transaction, plain)
    if (query.isInsert())
      for (const record of bringers) await stageAssigned(modelOf(record)!, record)
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
