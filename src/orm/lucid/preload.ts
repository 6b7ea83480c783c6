import { Preloader } from '@adonisjs/lucid/orm'
import type { QueryClientContract } from '@adonisjs/lucid/types/database'
import type { LucidModel, LucidRow } from '@adonisjs/lucid/types/model'
import type { ExtractModelRelations } from '@adonisjs/lucid/types/relations'
import type { ManyAttached, OneAttached } from '../../attached/record.ts'
import { preload } from '../preload.ts'
import { definitionsOf } from '../with-attachments.ts'

type AttachmentNames<Model> = Exclude<
  { [K in keyof Model]: Model[K] extends ManyAttached | OneAttached ? K : never }[keyof Model],
  Model extends LucidRow ? ExtractModelRelations<Model> : never
>

declare module '@adonisjs/lucid/types/relations' {
  interface Preload<Model extends LucidRow, Builder> {
    /** An attachment: what is attached to all records, and on its way, is read in two statements. */
    <Name extends AttachmentNames<Model>>(attachment: Name): Builder
  }
  interface PreloadWithoutCallback<Model extends LucidRow, Builder> {
    <Name extends AttachmentNames<Model>>(attachment: Name): Builder
  }
}

/** What Lucid's preloader asks of a relation. Nothing is related: attachments are kept beside the records. */
const attachmentRelation = {
  type: 'hasMany',
  setRelated: () => undefined,
  setRelatedForMany: () => undefined,
  eagerQuery(given: LucidRow | readonly LucidRow[], client: QueryClientContract): object {
    const query = {
      debug: () => query,
      sideload: () => query,
      selectRelationKeys: () => query,
      async exec(): Promise<readonly never[]> {
        await preload([given].flat() as LucidRow[], client.isTransaction ? client : undefined)
        return []
      },
    }
    return query
  },
}

interface PreloaderInternals {
  readonly model: LucidModel
  readonly preloads: Record<string, { readonly relation: object }>
  load(name: string, ...given: unknown[]): unknown
}

let isPatched = false

/** `User.query().preload('photo')`, also in what other models preload, and `user.load('photo')`: each passes Lucid's preloader. */
export function patchPreloader(): void {
  if (isPatched) return
  isPatched = true
  const own = Preloader.prototype as unknown as PreloaderInternals
  const plain = own.load
  own.load = function (this: PreloaderInternals, name, ...given) {
    const attachments = definitionsOf(this.model)
    if (attachments === null || !Object.hasOwn(attachments, name))
      return plain.call(this, name, ...given)
    this.preloads[name] = { relation: attachmentRelation }
    return this
  }
}
