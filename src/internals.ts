import type { Dialect } from './database/database.ts'
import type { DialectSchema } from './database/migrate.ts'
import type { Store } from './database/store.ts'
import { ConfigurationError } from './errors.ts'
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

export const keepInternals = (storage: object, kept: Internals): void =>
  void internals.set(storage, kept)

/** Whether createActiveStorage made it. */
export const isStorage = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && internals.has(value)

/** Throws ConfigurationError for what createActiveStorage did not make. */
export function internalsOf(storage: object): Internals {
  const found = internals.get(storage)
  if (found === undefined)
    throw new ConfigurationError('This is no storage of createActiveStorage. Pass what it returns.')
  return found
}
