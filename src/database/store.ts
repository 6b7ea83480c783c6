import type { Database, Dialect } from './database.ts'
import type { Executor } from './executor.ts'
import { sessions, type Session } from './session.ts'
import type { TableNames } from './schema.ts'
import { retried, transact } from './transact.ts'

export type RecordIdType = 'bigint' | 'uuid' | 'text'

/** An opened database: what every room runs its statements on. */
export interface Store<Tx = unknown> {
  readonly database: Database<Tx>
  readonly dialect: Dialect
  readonly tables: TableNames
  readonly recordId: RecordIdType
  /** Autocommit. */
  readonly session: Session
  /** A session on a connection at hand. */
  over(executor: Executor): Session
  /** A session on the user's open transaction. */
  join(tx: Tx): Session
  /** Our own transaction at read committed, run again as a whole when the database asks for it. */
  transact<T>(run: (session: Session, tx: Tx) => Promise<T>): Promise<T>
}

export async function openStore<Tx>(
  database: Database<Tx, boolean>,
  tables: TableNames,
  recordId: RecordIdType,
): Promise<Store<Tx>> {
  const plain = database as Database<Tx>
  const dialect = await plain.open()
  const over: (executor: Executor) => Session = sessions(dialect, tables)
  // A statement that is a transaction by itself is run again like any other of ours.
  const autocommit: Executor = { run: (text, parameters) => retried(plain, () => plain.executor.run(text, parameters)) }
  return {
    database: plain,
    dialect,
    tables,
    recordId,
    session: over(autocommit),
    over,
    join: (tx) => over(plain.join(tx)),
    transact: (run) => transact(plain, ({ executor, tx }) => run(over(executor), tx)),
  }
}
