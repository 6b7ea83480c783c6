import { ConfigurationError } from '../errors.ts'
import { turns, type Turns } from '../turns.ts'
import type { Database, Dialect } from './database.ts'
import type { Executor } from './executor.ts'
import { checkIds, schemaOf } from './migrate.ts'
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
  /** Of statements that carry bytes, whatever file they are of: the rest of the pool is for those that do not. */
  readonly turns: Turns
  /** Buffers of chunks that were written. */
  readonly spare: Buffer[]
  /** A session on a connection at hand. */
  over(executor: Executor): Session
  /** A session on the user's open transaction. */
  join(tx: Tx): Session
  /** Our own transaction at read committed, run again as a whole when the database asks for it. */
  transact<T>(run: (session: Session) => Promise<T>): Promise<T>
}

export async function openStore<Tx>(database: Database<Tx, boolean>, tables: TableNames, recordId: RecordIdType): Promise<Store<Tx>> {
  const plain = database as Database<Tx>
  const dialect = await plain.open()
  if (dialect !== 'postgres' && tables.files.includes('.'))
    throw new ConfigurationError('tables.schema is for PostgreSQL; tables.prefix works everywhere.')
  const session = sessions(dialect, tables, recordId, plain.placeholders)
  const schema = schemaOf(dialect, tables, recordId)
  let looked = false
  // On the first connection at hand, not on one of the pool: all of the pool's may be in transactions that wait for this.
  const checked = (executor: Executor): Executor => ({
    async run(text, parameters) {
      looked ||= await checkIds(schema, { tables, recordId }, executor)
      return executor.run(text, parameters).catch((error: unknown) => {
        throw isMissing(error)
          ? new ConfigurationError(
              'A table or a column of the library is not in the database. Run storage.migrate() at deployment, before anything else.',
              { cause: error },
            )
          : error
      })
    },
  })
  const over = (executor: Executor): Session => session(checked(executor), plain.returning === true)
  // A statement that is a transaction by itself is run again like any other of ours.
  const autocommit: Executor = { run: (text, parameters) => retried(plain, () => plain.executor.run(text, parameters)) }
  return {
    database: plain,
    dialect,
    tables,
    recordId,
    session: over(autocommit),
    turns: turns(plain.parallel),
    spare: [],
    over,
    join: (tx) => session(checked(plain.join(tx)), false),
    transact: (run) => transact(plain, ({ executor }) => run(over(executor))),
  }
}

/** A table or column that is not there, as PostgreSQL, MySQL and SQLite say it. */
function isMissing(error: unknown): boolean {
  const { code, errno, message } = error as { code?: unknown; errno?: unknown; message?: unknown }
  return (
    code === '42P01' ||
    code === '42703' ||
    errno === 1146 ||
    errno === 1054 ||
    /no such (table|column): |has no column named /.test(String(message))
  )
}
