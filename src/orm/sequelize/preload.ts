import type { CountOptions, FindOptions, Model, ModelStatic, Sequelize } from 'sequelize'
import { preload } from '../preload.ts'
import { definitionsOf } from '../with-attachments.ts'
import { rememberTransaction, openOf } from './transactions.ts'

/** What Sequelize takes for an include, as far as it matters here. */
interface Include {
  readonly model?: ModelStatic<Model>
  readonly association?: string | { readonly target: ModelStatic<Model> }
  readonly as?: string
  readonly include?: unknown
}

/** `of` without the names of attachments in its includes, which Sequelize would take for associations, and whose they are. */
function takeAttachmentNames<T extends Include>(
  model: ModelStatic<Model> | undefined,
  of: T,
  found: Set<object> = new Set(),
): [T, ReadonlySet<object>] {
  if (of.include === undefined || of.include === null) return [of, found]
  const attachments = model === undefined ? null : definitionsOf(model)
  const include = [of.include].flat().flatMap((each: unknown) => {
    if (attachments !== null && typeof each === 'string' && Object.hasOwn(attachments, each)) {
      found.add(attachments)
      return []
    }
    if (typeof each !== 'object' || each === null || (each as Include).include === undefined)
      return [each]
    const { association, as, model: named } = each as Include
    const target =
      typeof association === 'object'
        ? association.target
        : (named ?? model?.associations[association ?? as ?? '']?.target)
    return [takeAttachmentNames(target, each as Include, found)[0]]
  })
  return [{ ...of, include }, found]
}

/** Records, and those that were read with them. */
function* walkRecords(records: readonly unknown[]): Iterable<Model> {
  for (const record of records as (Model & {
    readonly _options?: { readonly includeNames?: readonly string[] }
  })[]) {
    if (record?._options === undefined) continue
    yield record
    for (const name of record._options.includeNames ?? [])
      yield* walkRecords([(record as unknown as Record<string, unknown>)[name]].flat())
  }
}

/** `include: ['photo']`, also of models that are included: read with the records, in two statements for each model. */
export function patchModels(app: Sequelize): void {
  if (patchedApps.has(app)) return
  patchedApps.add(app)
  for (const model of Object.values(app.models)) patchModel(app, model)
  app.addHook('afterDefine', (model) => patchModel(app, model as unknown as ModelStatic<Model>))
}
const patchedApps = new WeakSet<Sequelize>()

function patchModel(app: Sequelize, model: ModelStatic<Model>): void {
  const findAll = model.findAll as (
    this: ModelStatic<Model>,
    options?: FindOptions,
  ) => Promise<unknown>
  const count = model.count as unknown as (
    this: ModelStatic<Model>,
    options?: CountOptions,
  ) => Promise<unknown>
  Object.assign(model, {
    // What finds one, or by a key, or counts too, is a findAll.
    async findAll(this: ModelStatic<Model>, options: FindOptions = {}): Promise<unknown> {
      const [rest, found] = takeAttachmentNames(this, options as Include & FindOptions)
      const result = await findAll.call(this, rest)
      const open = openOf(app, options)
      const records = [...walkRecords([result].flat())].filter(
        (record) => definitionsOf(record) !== null,
      )
      for (const record of records) rememberTransaction(record, open)
      if (found.size > 0)
        await preload(
          records.filter((record) => found.has(definitionsOf(record)!)),
          open,
        )
      return result
    },
    count(this: ModelStatic<Model>, options: CountOptions = {}): Promise<unknown> {
      return count.call(this, takeAttachmentNames(this, options as CountOptions & Include)[0])
    },
  })
}
