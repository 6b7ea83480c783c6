// Fields of TypeORM that its types do not show, each with the reason why it is read.
// test/orm-internals.test.ts fails when a version of TypeORM does not have them any more.
import type { DataSource } from 'typeorm'
import type { SqliteHandle } from '../../database/sqlite.ts'
import { hasMethod, isObject, readPath } from '../object-guards.ts'

/**
 * Reads the handle of better-sqlite3 that all query runners of a data source share,
 * `driver.databaseConnection`. The library runs its own statements on it, in turn. undefined:
 * another database, or the data source is not initialized.
 */
export function sqliteHandleOf({ options, driver }: DataSource): SqliteHandle | undefined {
  const handle = options.type === 'better-sqlite3' ? readPath(driver, 'databaseConnection') : null
  return isSqliteHandle(handle) ? handle : undefined
}

const isSqliteHandle = (value: unknown): value is SqliteHandle =>
  hasMethod(value, 'prepare') && hasMethod(value, 'exec') && hasMethod(value, 'close')

/**
 * Returns whether a value has `@instanceof`, by which TypeORM knows instances of its own classes,
 * such as an EntitySchema, also of another copy of TypeORM. `save(target, entity)` takes one as its
 * first argument.
 */
export const isMarkedInstance = (value: unknown): boolean =>
  isObject(value) && value['@instanceof'] !== undefined
