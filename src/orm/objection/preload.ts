import { isTransaction } from '../knex/transactions.ts'
import { isObject, toList } from '../object-guards.ts'
import { patchMethod } from '../patch-method.ts'
import { preload } from '../preload.ts'
import { readKnex, type QueryInternals } from './internals.ts'

/**
 * Makes `withGraphFetched('photo')` read attachments in two statements for all records that the
 * query finds. Replaces the method of this query only. Objection calls it also for graphs of other
 * models that name a model with attachments.
 */
export function patchGraphFetched(query: QueryInternals, names: readonly string[]): void {
  let isPreloading = false
  patchMethod(
    query,
    'withGraphFetched',
    (withGraphFetched) =>
      function (expression, options) {
        withGraphFetched.call(this, expression, options)
        // Objection has merged the expression with those before it, in any of the forms that it
        // takes.
        const graph: unknown = this.graphExpressionObject()
        const entries = isObject(graph) ? Object.entries(graph) : []
        const rest = entries.filter(([name]) => !names.includes(name))
        if (rest.length === entries.length) return this
        this.clearWithGraph()
        if (rest.some(([name]) => !name.startsWith('$'))) {
          const relations = rest.filter(([name]) => name !== '$childNames')
          withGraphFetched.call(this, Object.fromEntries(relations), options)
        }
        if (!isPreloading) preloadAfter(this)
        isPreloading = true
        return this
      },
  )
}

function preloadAfter(query: QueryInternals): void {
  query.runAfter(async (result: unknown) => {
    const isPage = isObject(result) && Array.isArray(result['results'])
    const records = toList(isPage ? result['results'] : result).filter(isObject)
    const db = readKnex(query)
    await preload(records, isTransaction(db) ? db : undefined)
    return result
  })
}
