import { ConfigurationError } from '../errors/errors.ts'
import { createSemaphore, type Semaphore } from '../async/semaphore.ts'
import type { Database, Dialect } from './database.ts'
import type { Executor } from './executor.ts'
import { checkColumns, createDialectSchema, type LiveColumns } from './migrate.ts'
import { rethrowWithAdvice } from './driver-errors.ts'
import { createSessionFactory, type Session } from './session.ts'
import type { TableNames } from './schema.ts'
import { retryTransient, transact } from './transact.ts'

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
  readonly chunkWrites: Semaphore
  /** Buffers of chunks that were written. */
  readonly freeBuffers: Buffer[]
  /** A session on a connection at hand. */
  sessionOn(executor: Executor): Session
  /** A session on the user's open transaction. */
  join(tx: Tx): Session
  /** Our own transaction at read committed, run again as a whole when the database asks for it. */
  transact<T>(run: (session: Session) => Promise<T>): Promise<T>
}

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
  // On the first connection at hand, not on one of the pool: all of the pool's may be in transactions that wait for this.
  const checked = (executor: Executor): Executor => ({
    async run(text, parameters) {
      columns ??= await checkColumns(schema, { tables, recordId }, executor)
      return executor.run(text, parameters).catch(rethrowWithAdvice)
    },
  })
  const over = (executor: Executor, returning: boolean = plain.returning === true): Session => ({
    ...session(checked(executor), returning),
    liveColumns: async () =>
      (columns ??= await checkColumns(schema, { tables, recordId }, executor)) ?? new Map(),
  })
  // A statement that is a transaction by itself is run again like any other of ours.
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
    join: (tx) => over(plain.join(tx), false),
    transact: (run) => transact(plain, ({ executor }) => run(over(executor))),
  }
}
