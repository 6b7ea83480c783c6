import type { EntityManager } from '@mikro-orm/core'
import { ConfigurationError } from '../../errors/errors.ts'

/** All managers of an ORM share its driver. */
const boundDrivers = new WeakSet<object>()

/** Remembers that the ORM of a manager was passed to `mikroOrm()`. */
export const bindManager = (em: EntityManager): void => void boundDrivers.add(em.getDriver())

/**
 * Throws ConfigurationError if no storage would save or remove the files of an entity. `type` is
 * its class.
 */
export function refuseUnbound(em: EntityManager, type: { readonly name: string }): void {
  if (boundDrivers.has(em.getDriver())) return
  throw new ConfigurationError(
    `${type.name} has attachments, but this MikroORM is not bound to a storage. Pass it to mikroOrm(orm) in createActiveStorage, and import that module where entities are flushed.`,
  )
}
