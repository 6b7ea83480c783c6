import type { DataSource, EntityManager } from 'typeorm'
import { getHandleQueue } from '../../database/sqlite-queue.ts'

/** How many transactions of saves are open on a handle, or wait for their turn. */
const savesByHandle = new WeakMap<object, number>()

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
export async function runOwnTransaction<T>(
  manager: EntityManager,
  run: (on: EntityManager) => Promise<T>,
): Promise<T> {
  const handle = handleOf(manager.dataSource)
  const turns = handle && getHandleQueue(handle)
  const isForeign = handle?.inTransaction === true && !savesByHandle.has(handle)
  if (handle === undefined || turns === undefined || isForeign || turns.isInside())
    return manager.transaction(run)
  savesByHandle.set(handle, (savesByHandle.get(handle) ?? 0) + 1)
  try {
    return await turns.run(() => turns.runInside(() => manager.transaction(run)))
  } finally {
    const left = (savesByHandle.get(handle) ?? 1) - 1
    if (left === 0) savesByHandle.delete(handle)
    else savesByHandle.set(handle, left)
  }
}
