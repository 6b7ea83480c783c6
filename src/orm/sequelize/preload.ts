import type { Model, ModelStatic, Sequelize } from 'sequelize'
import { isObject, toList } from '../object-guards.ts'
import { patchMethod } from '../patch-method.ts'
import { preload } from '../preload.ts'
import { definitionsOf } from '../with-attachments.ts'
import { isModel, isRecord, type RecordInternals } from './internals.ts'
import { openOf, rememberTransaction } from './transactions.ts'

type QueryOptions = Readonly<Record<PropertyKey, unknown>>

/** Options of a query without the names of attachments, and the attachments that were named. */
interface SplitOptions {
  /** Values that are no objects are passed on: Sequelize refuses them. */
  readonly options: unknown
  readonly definitions: ReadonlySet<object>
}

/**
 * Takes the names of attachments out of all includes: Sequelize would look for associations of
 * these names.
 */
function splitInclude(model: ModelStatic<Model> | undefined, given: unknown): SplitOptions {
  const definitions = new Set<object>()
  const split = (owner: ModelStatic<Model> | undefined, options: QueryOptions): QueryOptions => {
    const { include } = options
    if (include === undefined || include === null) return options
    const own = owner === undefined ? null : definitionsOf(owner)
    const rest = toList(include).flatMap((each) => {
      if (own !== null && typeof each === 'string' && Object.hasOwn(own, each)) {
        definitions.add(own)
        return []
      }
      if (!isObject(each) || each['include'] === undefined) return [each]
      return [split(includedModel(owner, each), each)]
    })
    return { ...options, include: rest }
  }
  return { options: isObject(given) ? split(model, given) : given, definitions }
}

/** Returns the model of an include, in any of the forms that Sequelize accepts. */
function includedModel(
  owner: ModelStatic<Model> | undefined,
  { association, as, model }: QueryOptions,
): ModelStatic<Model> | undefined {
  if (isObject(association) && isModel(association['target'])) return association['target']
  if (isModel(model)) return model
  const name = association ?? as
  return typeof name === 'string' ? owner?.associations[name]?.target : undefined
}

/** Walks the records of a result, and those that were read with them. */
function* walkRecords(values: readonly unknown[]): Iterable<RecordInternals> {
  for (const value of values) {
    if (!isRecord(value)) continue
    yield value
    for (const name of value._options?.includeNames ?? [])
      yield* walkRecords(toList(Reflect.get(value, name)))
  }
}

const patchedApps = new WeakSet<Sequelize>()

/**
 * Makes `include: ['photo']` read attachments in two statements for each model, also in models that
 * are included. Patches `findAll` and `count` of all models of the app, and of those that it
 * defines later.
 */
export function patchModels(app: Sequelize): void {
  if (patchedApps.has(app)) return
  patchedApps.add(app)
  for (const model of Object.values(app.models)) patchModel(app, model)
  app.addHook('afterDefine', (model) => {
    if (isModel(model)) patchModel(app, model)
  })
}

/**
 * Patches `findAll` and `count` of a model. All finders of Sequelize (`findOne`, `findByPk`,
 * `findAndCountAll` …) call these two.
 */
function patchModel(app: Sequelize, model: ModelStatic<Model>): void {
  patchMethod(
    model,
    'findAll',
    (findAll) =>
      async function (given): Promise<unknown> {
        const { options, definitions } = splitInclude(this, given)
        const result = await findAll.call(this, options)
        const open = openOf(app, isObject(options) ? options : undefined)
        const records = [...walkRecords(toList(result))].filter(
          (record) => definitionsOf(record) !== null,
        )
        for (const record of records) rememberTransaction(record, open)
        const isNamed = (record: Model): boolean => {
          const own = definitionsOf(record)
          return own !== null && definitions.has(own)
        }
        if (definitions.size > 0) await preload(records.filter(isNamed), open)
        return result
      },
  )
  patchMethod(
    model,
    'count',
    (count) =>
      function (given): unknown {
        return count.call(this, splitInclude(this, given).options)
      },
  )
}
