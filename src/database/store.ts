import { ConfigurationError } from '../errors/errors.ts'
import { createSemaphore, type Semaphore } from '../async/semaphore.ts'
import type { Database, Dialect } from './database.ts'
import type { Executor } from './executor.ts'
import { checkColumns, createDialectSchema, type LiveColumns } from './migrate.ts'
import { rethrowWithAdvice } from './driver-errors.ts'
import { createSessionFactory, type Session } from './session.ts'
import type { TableNames } from './schema.ts'
import { retryTransient, transact } from './transact.ts'

/**
 * Type of the ids of the app's records, in the columns that hold them and in the values that are
 * bound.
 */
export type RecordIdType = 'bigint' | 'uuid' | 'text'

/** An opened database. All other folders run their statements on it. */
export interface Store<Tx = unknown> {
  /** The binding that the app passed. */
  readonly database: Database<Tx>
  readonly dialect: Dialect
  /** The real names of the tables. */
  readonly tables: TableNames
  readonly recordId: RecordIdType
  /** Runs each statement by itself (autocommit), and again after an error that may pass. */
  readonly session: Session
  /**
   * Limits the statements that carry bytes, of all files together, so that the rest of the pool
   * stays free.
   */
  readonly chunkWrites: Semaphore
  /** Free buffers of written chunks, to be filled again. */
  readonly freeBuffers: Buffer[]
  /** Returns a session on the executor of one connection. */
  sessionOn(executor: Executor): Session
  /** Returns a session on the user's open transaction. */
  join(tx: Tx): Session
  /**
   * Runs `run` in a transaction at read committed, and all of it again after an error that may
   * pass.
   */
  transact<T>(run: (session: Session) => Promise<T>): Promise<T>
}

/**
 * Opens a database. The first statement checks that the columns hold the ids that this storage
 * binds. Throws ConfigurationError for `tables.schema` on anything but PostgreSQL.
 */
export async function openStore<Tx>(
  database: Database<Tx, boolean>,
  tables: TableNames,
  recordId: RecordIdType,
): Promise<Store<Tx>> {
  const plain = database as Database<Tx>
  const dialect = await plain.open()
  if (dialect !== 'postgres' && tables.files.includes('.'))
    throw new ConfigurationError('tables.schema is for PostgreSQL; tables.prefix works everywhere.')
  const session = createSessionFactory(dialect, tables, recordId, plain.placeholders)
  const schema = createDialectSchema(dialect, tables, recordId)
  let columns: LiveColumns | null = null
  // The columns are checked on the connection of the first statement, because all others of the
  // pool may be in transactions that wait for it.
  const checked = (executor: Executor): Executor => ({
    async run(text, parameters) {
      columns ??= await checkColumns(schema, { tables, recordId }, executor)
      return executor.run(text, parameters).catch(rethrowWithAdvice)
    },
  })
  const over = (executor: Executor, { returning = plain.returning === true } = {}): Session => ({
    ...session(checked(executor), returning),
    liveColumns: async () =>
      (columns ??= await checkColumns(schema, { tables, recordId }, executor)) ?? new Map(),
  })
  // A single statement is a transaction too, and may fail for a moment.
  const autocommit: Executor = {
    run: (text, parameters) => retryTransient(plain, () => plain.executor.run(text, parameters)),
  }
  return {
    database: plain,
    dialect,
    tables,
    recordId,
    session: over(autocommit),
    chunkWrites: createSemaphore(plain.writeConcurrency),
    freeBuffers: [],
    sessionOn: (executor) => over(executor),
    join: (tx) => over(plain.join(tx), { returning: false }),
    transact: (run) => transact(plain, ({ executor }) => run(over(executor))),
  }
}
