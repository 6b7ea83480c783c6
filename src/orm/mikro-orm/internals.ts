// Fields of MikroORM that are marked as internal, or that its types do not show, each with the
// reason why it is used. test/orm-internals.test.ts fails when a version of MikroORM does not have
// them any more.
import { wrap, type EntityManager, type MikroORM } from '@mikro-orm/core'
import type { Kysely } from 'kysely'
import { ConfigurationError } from '../../errors/errors.ts'
import { hasMethod, isObject, readPath } from '../object-guards.ts'

/** The fields of MikroORM's own state of an entity that are used here. Its type is not exported. */
export interface EntityWrapper {
  __em?: EntityManager
  /** The row as it was read or written. */
  __originalEntityData?: unknown
  __identifier?: unknown
  __managed: boolean
  hasPrimaryKey(): boolean
  getPrimaryKey(): unknown
}

/**
 * Finds MikroORM's own state of an entity, `__helper`. null: the value is no entity of an
 * initialized ORM.
 */
export const findWrapper = (entity: object): EntityWrapper | null =>
  isObject(entity) && entity['__helper'] !== undefined ? wrap(entity, true) : null

/**
 * Returns whether an entity is in the database. An id does not show it: the app may have chosen
 * one. `__originalEntityData` is the row as it was read or written.
 */
export const isInDatabase = (entity: object): boolean =>
  findWrapper(entity)?.__originalEntityData !== undefined

/**
 * Returns the manager that an entity belongs to, `__em`. undefined: the entity is new, or was
 * detached.
 */
export const managerOf = (entity: object): EntityManager | undefined => findWrapper(entity)?.__em

/**
 * Makes an entity new again, whose insert was rolled back. MikroORM has no public way, and takes it
 * for written by `__originalEntityData`, `__identifier` and `__managed`.
 */
export function markAsNew(wrapper: EntityWrapper): void {
  delete wrapper.__originalEntityData
  delete wrapper.__identifier
  wrapper.__managed = false
}

/**
 * Reads the name of the platform's class, the only place where MikroORM shows its database.
 * undefined: the value is no MikroORM.
 */
export function platformNameOf(orm: unknown): string | undefined {
  const em = readPath(orm, 'em')
  const platform = hasMethod(em, 'getPlatform') ? em.getPlatform() : undefined
  return isObject(platform) ? platform.constructor.name : undefined
}

/**
 * Returns the Kysely of a manager's transaction, or of the ORM's connections without a manager.
 * MikroORM's own `execute()` is not used, because it writes the parameters into the text of a
 * statement. Throws ConfigurationError if a version of MikroORM has no Kysely.
 */
export function requireKysely(orm: MikroORM, em: EntityManager | null): Kysely<unknown> {
  const connection: unknown = orm.em.getConnection('write')
  const kysely: unknown =
    em?.getTransactionContext() ??
    (hasMethod(connection, 'getClient') ? connection.getClient() : undefined)
  if (!isKysely(kysely))
    throw new ConfigurationError(
      'This version of MikroORM does not run on Kysely. Install a version that the library supports.',
    )
  return kysely
}

const isKysely = (value: unknown): value is Kysely<unknown> =>
  hasMethod(value, 'executeQuery') && hasMethod(value, 'getExecutor')
