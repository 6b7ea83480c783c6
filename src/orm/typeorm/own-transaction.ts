import type { DataSource, EntityManager } from 'typeorm'
import { sqliteTurns } from '../../database/sqlite-turns.ts'

/** How many transactions of saves are open on a handle, or wait for their turn. */
const own = new WeakMap<object, number>()

const handleOf = ({
  options,
  driver,
}: DataSource): { readonly inTransaction: boolean } | undefined =>
  options.type === 'better-sqlite3'
    ? (driver as { readonly databaseConnection?: { readonly inTransaction: boolean } })
        .databaseConnection
    : undefined

/**
 * A transaction that a save opens. On SQLite, TypeORM has one connection, and would begin it inside of another save's, as a savepoint:
 * they are one after the other. Inside a transaction of the app's on that connection, it stays a savepoint.
 */
export async function ownTransaction<T>(
  manager: EntityManager,
  run: (on: EntityManager) => Promise<T>,
): Promise<T> {
  const handle = handleOf(manager.dataSource)
  const turns = handle && sqliteTurns(handle)
  const isForeign = handle?.inTransaction === true && !own.has(handle)
  if (handle === undefined || turns === undefined || isForeign || turns.isInside())
    return manager.transaction(run)
  own.set(handle, (own.get(handle) ?? 0) + 1)
  try {
    return await turns.take(() => turns.within(() => manager.transaction(run)))
  } finally {
    const left = (own.get(handle) ?? 1) - 1
    if (left === 0) own.delete(handle)
    else own.set(handle, left)
  }
}
