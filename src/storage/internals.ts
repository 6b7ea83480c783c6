import type { Dialect } from '../database/database.ts'
import type { DialectSchema } from '../database/migrate.ts'
import type { Store } from '../database/store.ts'
import { ConfigurationError } from '../errors/errors.ts'
import type { countSweepableAndGemRows } from '../gem/count-sweepable.ts'

/** What the command line needs beyond the public surface. */
export interface Internals {
  openStore(): Promise<Store>
  /** Whether there is a `Model.attachment`. */
  hasAttachment(slot: string): boolean
  /** What makes what the storage needs, on an empty database. */
  readSchema(dialect: Dialect): DialectSchema
  /** What a sweep would do now; nothing is changed. */
  sweepable(): ReturnType<typeof countSweepableAndGemRows>
}

const internalsByStorage = new WeakMap<object, Internals>()

export const registerInternals = (storage: object, kept: Internals): void =>
  void internalsByStorage.set(storage, kept)

/** Whether createActiveStorage made it. */
export const isStorage = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && internalsByStorage.has(value)

/** Throws ConfigurationError for what createActiveStorage did not make. */
export function getInternals(storage: object): Internals {
  const found = internalsByStorage.get(storage)
  if (found === undefined)
    throw new ConfigurationError('This is no storage of createActiveStorage. Pass what it returns.')
  return found
}
