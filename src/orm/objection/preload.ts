import type { Knex } from 'knex'
import type { Model, QueryBuilder } from 'objection'
import { preload } from '../preload.ts'

/** What Objection keeps of a query, and does not type. */
interface GraphQueryInternals {
  graphExpressionObject(): Readonly<Record<string, unknown>> | null
  unsafeKnex(): Knex
}

/** `withGraphFetched('photo')`: attachments are read in two statements for all that is found. Graphs of other models come by here, too. */
export function patchGraphFetched(query: QueryBuilder<Model>, names: readonly string[]): void {
  const plain = query.withGraphFetched.bind(query)
  const inside = query as unknown as GraphQueryInternals
  let isAsked = false
  query.withGraphFetched = (expression, options) => {
    plain(expression, options)
    const graph = inside.graphExpressionObject() ?? {}
    const ours = names.filter((name) => Object.hasOwn(graph, name))
    if (ours.length === 0) return query
    const rest = Object.entries(graph).filter(([name]) => !ours.includes(name))
    query.clearWithGraph()
    const relations = rest.filter(([name]) => !name.startsWith('$'))
    if (relations.length > 0)
      plain(Object.fromEntries(rest.filter(([name]) => name !== '$childNames')), options)
    if (isAsked) return query
    isAsked = true
    return query.runAfter(async (result: unknown) => {
      const found =
        (result as { readonly results?: readonly object[] } | null | undefined)?.results ??
        [result].flat()
      const db = inside.unsafeKnex()
      const records = (found as (object | null | undefined)[]).filter((each) => each != null)
      await preload(records, db.isTransaction === true ? db : undefined)
      return result
    }) as never
  }
}
