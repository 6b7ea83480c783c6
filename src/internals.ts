import type { Dialect } from './database/database.ts'
import type { DialectSchema } from './database/migrate.ts'
import type { Store } from './database/store.ts'
import type { countAll } from './gem/sweepable.ts'

/** What the command line needs beyond the public surface. */
export interface Internals {
  store(): Promise<Store>
  /** Whether there is a `Model.attachment`. */
  knows(slot: string): boolean
  /** What makes what the storage needs, on an empty database. */
  schema(dialect: Dialect): DialectSchema
  /** What a sweep would do now; nothing is changed. */
  sweepable(): ReturnType<typeof countAll>
}

const internals = new WeakMap<object, Internals>()

export const keepInternals = (storage: object, kept: Internals): void => void internals.set(storage, kept)

/** null: not made by createActiveStorage. */
export function internalsOf(storage: object): Internals | null {
  return internals.get(storage) ?? null
}
