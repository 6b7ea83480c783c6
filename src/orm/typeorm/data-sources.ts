import type { DataSource } from 'typeorm'
import { optionsOf } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors.ts'
import { hasAssigned } from '../assigned.ts'
import type { Found } from './entities.ts'

const bound = new WeakSet<DataSource>()

/** Returns whether it was not bound before. */
export function bind(dataSource: DataSource): boolean {
  const isNew = !bound.has(dataSource)
  bound.add(dataSource)
  return isNew
}

export const isBound = (dataSource: DataSource): boolean => bound.has(dataSource)

const isAnyRequired = (attachments: object): boolean =>
  Object.values(attachments).some((definition: object) => optionsOf(definition)?.required === true)

/** Whether a save must have a storage: of what it reaches, something brings files, or must. */
export const isWithFiles = ({
  entity,
  attachments,
}: Pick<Found, 'entity' | 'attachments'>): boolean =>
  hasAssigned(entity) || isAnyRequired(attachments)

/** Throws ConfigurationError: nobody would bring the files along, or take them away. */
export function refuseUnbound({ metadata }: Pick<Found, 'metadata'>): never {
  throw new ConfigurationError(
    `${metadata.name} has attachments, but this DataSource is not bound to a storage. Pass it to typeorm(dataSource) in createActiveStorage, and import that module where entities are saved.`,
  )
}
