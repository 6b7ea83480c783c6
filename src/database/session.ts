import {
  Kysely,
  MysqlAdapter,
  MysqlIntrospector,
  PostgresAdapter,
  PostgresIntrospector,
  SqliteAdapter,
  SqliteIntrospector,
  type CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type DialectAdapter,
  type Driver,
  type QueryResult,
} from 'kysely'
import type { Dialect } from './database.ts'
import type { Executor, Parameter, PortableExecutor } from './executor.ts'
import type { LiveColumns } from './migrate.ts'
import { createPortableExecutor, type PlaceholderStyle } from './placeholders.ts'
import { createQueryCompiler } from './query-compilers.ts'
import type { Schema, TableNames } from './schema.ts'
import type { RecordIdType } from './store.ts'

/** Kysely on one executor. All statements of the library run through a session. */
export interface Session {
  readonly dialect: Dialect
  /** Builds and runs statements. */
  readonly db: Kysely<Schema>
  /** Sends the statements: over the pool, or over an open transaction. */
  readonly executor: Executor
  /** Runs statements of queue engines on that executor, with `$1` placeholders for any binding. */
  readonly portableExecutor: PortableExecutor
  /** The real names of the tables. */
  readonly tables: TableNames
  /** Type of the ids of the app's records. */
  readonly recordId: RecordIdType
  /** Whether INSERT, UPDATE and DELETE may use RETURNING: see `Database.returning`. */
  readonly returning: boolean
  /**
   * Returns the columns as they are in the database, which are read once per process. Empty: the
   * tables do not exist yet.
   */
  liveColumns(): Promise<LiveColumns>
}

/** Creates a session on one executor. */
export type SessionFactory = (
  executor: Executor,
  returning: boolean,
) => Omit<Session, 'liveColumns'>

/** Returns the factory of one database's sessions: on its pool, or on any open transaction. */
export function createSessionFactory(
  dialect: Dialect,
  tables: TableNames,
  recordId: RecordIdType,
  style?: PlaceholderStyle,
): SessionFactory {
  const Compiler = createQueryCompiler(dialect, tables, style)
  return (executor, returning) => {
    const driver = createKyselyDriver(executor)
    const db = new Kysely<Schema>({
      dialect: {
        createDriver: () => driver,
        createQueryCompiler: () => new Compiler(),
        createAdapter: () => createAdapter(dialect),
        createIntrospector: (kysely) => createIntrospector(dialect, kysely),
      },
    })
    const portableExecutor = createPortableExecutor(executor, dialect, style)
    return { dialect, db, executor, portableExecutor, tables, recordId, returning }
  }
}

function createKyselyDriver(executor: Executor): Driver {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new Error('A session opens no transaction: its executor is in one, or is autocommit.'),
    )
  return {
    init: () => Promise.resolve(),
    destroy: () => Promise.resolve(),
    acquireConnection: () => Promise.resolve(createKyselyConnection(executor)),
    releaseConnection: () => Promise.resolve(),
    beginTransaction: refuse,
    commitTransaction: refuse,
    rollbackTransaction: refuse,
  }
}

function createKyselyConnection(executor: Executor): DatabaseConnection {
  return {
    async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
      const { rows, affected } = await executor.run(query.sql, query.parameters as Parameter[])
      return { rows: rows as R[], numAffectedRows: BigInt(affected) }
    },
    // oxlint-disable-next-line require-yield
    async *streamQuery(): AsyncIterableIterator<never> {
      throw new Error('A session streams no query: staged files are read chunk by chunk.')
    },
  }
}

function createAdapter(dialect: Dialect): DialectAdapter {
  if (dialect === 'postgres') return new PostgresAdapter()
  return dialect === 'sqlite' ? new SqliteAdapter() : new MysqlAdapter()
}

function createIntrospector(dialect: Dialect, db: Kysely<unknown>): DatabaseIntrospector {
  if (dialect === 'postgres') return new PostgresIntrospector(db)
  return dialect === 'sqlite' ? new SqliteIntrospector(db) : new MysqlIntrospector(db)
}
