import type { Models } from '../attached/definitions.ts'
import type { Dialect } from '../database/database.ts'
import { createDialectSchema, type DialectSchema } from '../database/migrate.ts'
import type { Store } from '../database/store.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { countSweepableAndGemRows } from '../gem/count-sweepable.ts'
import type { ActiveStorage } from './active-storage.ts'
import type { StorageParts } from './contexts.ts'

/** The parts of a storage that only the command line needs. */
export interface Internals {
  openStore(): Promise<Store>
  /** Returns the statements that make the tables of an empty database. */
  readSchema(dialect: Dialect): DialectSchema
  /** Counts what a sweep would do now. Changes nothing. */
  countSweepable(): ReturnType<typeof countSweepableAndGemRows>
}

const internalsByStorage = new WeakMap<object, Internals>()

/** Makes the internals of a storage. */
export function createInternals({ settings, store }: StorageParts): Internals {
  const { tables, recordId } = settings
  return {
    openStore: store.open,
    readSchema: (dialect) => createDialectSchema(dialect, tables, recordId),
    countSweepable: async () => countSweepableAndGemRows((await store.open()).session, settings),
  }
}

/** Remembers the internals of a storage. */
export function registerInternals(storage: object, internals: Internals): void {
  internalsByStorage.set(storage, internals)
}

/** Returns whether `createActiveStorage` made the value. */
export function isStorage(value: unknown): value is ActiveStorage<Models, never> {
  return typeof value === 'object' && value !== null && internalsByStorage.has(value)
}

/** Returns the internals of a storage. Throws ConfigurationError for any other object. */
export function getInternals(storage: object): Internals {
  const found = internalsByStorage.get(storage)
  if (found === undefined)
    throw new ConfigurationError(
      'This is not a storage: pass the return value of createActiveStorage.',
    )
  return found
}
