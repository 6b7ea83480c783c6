import type { DataSource } from 'typeorm'
import { ConfigurationError } from '../../errors/errors.ts'

const boundDataSources = new WeakSet<DataSource>()

/** Remembers that a data source was passed to `typeorm()`. Returns false if it was bound before. */
export function bindDataSource(dataSource: DataSource): boolean {
  const isNew = !boundDataSources.has(dataSource)
  boundDataSources.add(dataSource)
  return isNew
}

/** Returns whether a data source was passed to `typeorm()`. */
export const isBound = (dataSource: DataSource): boolean => boundDataSources.has(dataSource)

/**
 * Creates the ConfigurationError for entities whose files no storage would save or remove. `name`
 * is the entity's.
 */
export const unboundError = ({ name }: { readonly name: string }): ConfigurationError =>
  new ConfigurationError(
    `${name} has attachments, but this DataSource is not bound to a storage. Pass it to typeorm(dataSource) in createActiveStorage, and import that module where entities are saved.`,
  )
