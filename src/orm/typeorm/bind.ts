import type { DataSource } from 'typeorm'
import { findOptions } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { hasPendingFiles } from '../pending-files.ts'
import type { FoundEntity } from './records.ts'

const boundDataSources = new WeakSet<DataSource>()

/** Returns whether it was not bound before. */
export function bindDataSource(dataSource: DataSource): boolean {
  const isNew = !boundDataSources.has(dataSource)
  boundDataSources.add(dataSource)
  return isNew
}

export const isBound = (dataSource: DataSource): boolean => boundDataSources.has(dataSource)

const isAnyDefinitionRequired = (attachments: object): boolean =>
  Object.values(attachments).some(
    (definition: object) => findOptions(definition)?.required === true,
  )

/** Whether a save must have a storage: of what it reaches, something brings files, or must. */
export const needsStorage = ({
  entity,
  attachments,
}: Pick<FoundEntity, 'entity' | 'attachments'>): boolean =>
  hasPendingFiles(entity) || isAnyDefinitionRequired(attachments)

/** Throws ConfigurationError: nobody would bring the files along, or take them away. */
export function refuseUnbound({ metadata }: Pick<FoundEntity, 'metadata'>): never {
  throw new ConfigurationError(
    `${metadata.name} has attachments, but this DataSource is not bound to a storage. Pass it to typeorm(dataSource) in createActiveStorage, and import that module where entities are saved.`,
  )
}
