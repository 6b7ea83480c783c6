import type { Awaitable } from '../async/awaitable.ts'
import type { NeedsRecord, RecordOf } from '../attached/definitions.ts'
import { configurationError } from './configuration-error.ts'

/**
 * Functions that look up records, by model. Models whose hooks read more than `{ type, id }` need
 * one.
 */
type RecordFinders<M> = {
  readonly [N in NeedsRecord<M>]: (id: string) => Awaitable<RecordOf<M[N]> | null | undefined>
} & {
  readonly [N in Exclude<keyof M, NeedsRecord<M>>]?: (
    id: string,
  ) => Awaitable<object | null | undefined>
}

/**
 * The option `findRecord`. It is required where hooks read more than `{ type, id }`, unless the
 * database loads records by itself (`Finds`: an ORM's binding).
 */
export type FindRecordOption<M, Finds extends boolean> = Finds extends true
  ? { readonly findRecord?: Partial<RecordFinders<M>> }
  : [NeedsRecord<M>] extends [never]
    ? { readonly findRecord?: RecordFinders<M> }
    : { readonly findRecord: RecordFinders<M> }

/** Looks up one record by its id, as text. */
export type RecordFinder = (id: string) => unknown

/** Reads the option `findRecord`: the finders by model. */
export function readFinders(
  given: object | undefined,
  models: ReadonlyMap<string, unknown>,
): ReadonlyMap<string, RecordFinder> {
  if (given !== undefined && (typeof given !== 'object' || given === null))
    throw configurationError(
      'findRecord must be an object such as { User: (id) => users.find(id) }.',
    )
  const finders = new Map<string, RecordFinder>()
  for (const [name, finder] of Object.entries<unknown>({ ...given })) {
    if (!models.has(name))
      throw configurationError(`findRecord names the model '${name}', which is not defined.`)
    if (finder === undefined) continue
    if (!isFinder(finder))
      throw configurationError(
        `findRecord.${name} is not a function: give one that takes an id and returns the record.`,
      )
    finders.set(name, finder)
  }
  return finders
}

function isFinder(value: unknown): value is RecordFinder {
  return typeof value === 'function'
}
