// Fields of TypeORM that its types do not show, each with the reason why it is read. test/orm-internals.test.ts fails when a
// version of TypeORM has them no more.
import type { DataSource } from 'typeorm'
import type { SqliteHandle } from '../../database/sqlite.ts'
import { hasMethod, isObject } from '../object-guards.ts'

/**
 * The handle of better-sqlite3 that all query runners of a data source share, `driver.databaseConnection`: the library waits
 * for its own turn on it. undefined: another database, or the data source is not initialized.
 */
export function sqliteHandleOf({ options, driver }: DataSource): SqliteHandle | undefined {
  if (options.type !== 'better-sqlite3') return undefined
  const handle: unknown = Reflect.get(driver, 'databaseConnection')
  return isSqliteHandle(handle) ? handle : undefined
}

const isSqliteHandle = (value: unknown): value is SqliteHandle =>
  hasMethod(value, 'prepare') && hasMethod(value, 'exec') && hasMethod(value, 'close')

/** Whether a value is an EntitySchema, also of another copy of TypeORM: TypeORM marks its instances with `@instanceof`. */
export const isMarkedInstance = (value: unknown): boolean =>
  isObject(value) && value['@instanceof'] !== undefined
