import type { LoadedCell } from '../attached/scope.ts'

const cells = new WeakMap<object, LoadedCell>()

/** What was read of a record ahead. */
export const loadedOf = (record: object): LoadedCell | undefined => cells.get(record)

export const keepLoaded = (record: object, loaded: LoadedCell): void => void cells.set(record, loaded)

/** What was read is not true any more. */
export const forgetLoaded = (record: object): void => void cells.delete(record)
