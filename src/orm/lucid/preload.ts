import { Preloader } from '@adonisjs/lucid/orm'
import type { QueryClientContract } from '@adonisjs/lucid/types/database'
import type { LucidRow } from '@adonisjs/lucid/types/model'
import type { ExtractModelRelations } from '@adonisjs/lucid/types/relations'
import type { ManyAttached, OneAttached } from '../../attached/record.ts'
import { patchMethod } from '../patch-method.ts'
import { preload } from '../preload.ts'
import { definitionsOf } from '../with-attachments.ts'
import { addRelation, readModel } from './internals.ts'

type AttachmentNames<Model> = Exclude<
  { [K in keyof Model]: Model[K] extends ManyAttached | OneAttached ? K : never }[keyof Model],
  Model extends LucidRow ? ExtractModelRelations<Model> : never
>

declare module '@adonisjs/lucid/types/relations' {
  interface Preload<Model extends LucidRow, Builder> {
    /** An attachment: its attached and pending files are read for all records in two statements. */
    <Name extends AttachmentNames<Model>>(attachment: Name): Builder
  }
  interface PreloadWithoutCallback<Model extends LucidRow, Builder> {
    <Name extends AttachmentNames<Model>>(attachment: Name): Builder
  }
}

/**
 * An attachment in the form of a relation, as Lucid's preloader calls it. It finds no related rows:
 * attachments are kept beside the records.
 */
const attachmentRelation = {
  type: 'hasMany',
  setRelated: () => undefined,
  setRelatedForMany: () => undefined,
  eagerQuery(given: LucidRow | LucidRow[], client: QueryClientContract): object {
    const query = {
      debug: () => query,
      sideload: () => query,
      selectRelationKeys: () => query,
      async exec(): Promise<readonly never[]> {
        const records = Array.isArray(given) ? given : [given]
        await preload(records, client.isTransaction ? client : undefined)
        return []
      },
    }
    return query
  },
}

let isPatched = false

/**
 * Makes `User.query().preload('photo')` and `user.load('photo')` read attachments, also from
 * queries of other models. Patches `Preloader.prototype.load`, which all of them call, for the
 * whole process.
 */
export function patchPreloader(): void {
  if (isPatched) return
  isPatched = true
  patchMethod(
    Preloader.prototype,
    'load',
    (load) =>
      function (name, ...rest) {
        const model = readModel(this)
        const attachments = model === undefined ? null : definitionsOf(model)
        if (typeof name !== 'string' || attachments === null || !Object.hasOwn(attachments, name))
          return load.call(this, name, ...rest)
        addRelation(this, name, attachmentRelation)
        return this
      },
  )
}
