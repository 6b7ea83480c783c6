import { migrate } from '../database/migrate.ts'
import type { Store } from '../database/store.ts'

/** Makes or completes the tables of an open database. */
export async function migrateStore(store: Store): Promise<void> {
  const { database, dialect, tables, recordId, session } = store
  await migrate({
    dialect,
    tables,
    recordId,
    executor: session.executor,
    transaction: (run) => database.transaction(({ executor }) => run(executor)),
    isTransient: (error) => database.isTransient(error),
  })
}
