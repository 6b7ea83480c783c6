import {
  Kysely,
  MysqlAdapter,
  MysqlIntrospector,
  MysqlQueryCompiler,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
  type TableNode,
} from 'kysely'
import type { Database, Dialect } from './database.ts'
import type { Executor, Parameter } from './executor.ts'
import type { LiveColumns } from './migrate.ts'
import type { Schema, TableNames } from './schema.ts'
import type { RecordIdType } from './store.ts'

/** Kysely over one executor: every statement of the library is written against this. */
export interface Session {
  readonly dialect: Dialect
  readonly db: Kysely<Schema>
  readonly executor: Executor
  readonly tables: TableNames
  readonly recordId: RecordIdType
  /** RETURNING may be relied on: see `Database.returning`. */
  readonly returning: boolean
  /** Read once for each process, with its first statement. Empty: the tables are not there yet. */
  liveColumns(): Promise<LiveColumns>
}

type PlaceholderStyle = Database<never>['placeholders']

/** Of the `count`th parameter; null: as the dialect does. */
function formatPlaceholder(style: PlaceholderStyle, count: number): string | null {
  if (style === undefined) return null
  return style === 'numbered' ? `$${count}` : style === 'question' ? '?' : PLACEHOLDER_MARK
}

/** Stands for a parameter in the text of `placeholders: 'marked'`. */
export const PLACEHOLDER_MARK = '\u0001'

/** One base class for each compiler, so that `from('files')` names the table the app configured. */
function compilers(tables: TableNames, style: PlaceholderStyle) {
  const real = (node: TableNode): string | undefined =>
    tables[node.table.identifier.name as keyof TableNames]
  const quoted = (name: string, quote: string): string =>
    name
      .split('.')
      .map((part) => quote + part.replaceAll(quote, quote + quote) + quote)
      .join('.')
  return {
    postgres: class extends PostgresQueryCompiler {
      protected override visitTable(node: TableNode): void {
        const name = real(node)
        if (name === undefined) super.visitTable(node)
        else this.append(quoted(name, '"'))
      }
      protected override getCurrentParameterPlaceholder(): string {
        return (
          formatPlaceholder(style, this.numParameters) ?? super.getCurrentParameterPlaceholder()
        )
      }
    },
    mysql: class extends MysqlQueryCompiler {
      protected override visitTable(node: TableNode): void {
        const name = real(node)
        if (name === undefined) super.visitTable(node)
        else this.append(quoted(name, '`'))
      }
      protected override getCurrentParameterPlaceholder(): string {
        return (
          formatPlaceholder(style, this.numParameters) ?? super.getCurrentParameterPlaceholder()
        )
      }
    },
    sqlite: class extends SqliteQueryCompiler {
      protected override visitTable(node: TableNode): void {
        const name = real(node)
        if (name === undefined) super.visitTable(node)
        else this.append(quoted(name, '"'))
      }
      protected override getCurrentParameterPlaceholder(): string {
        return (
          formatPlaceholder(style, this.numParameters) ?? super.getCurrentParameterPlaceholder()
        )
      }
    },
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
      throw new Error('The bridge reads chunk by chunk; it does not stream queries.')
    },
  }
}

/** Makes sessions of one database: over its pool, or over any open transaction. */
export function createSessionFactory(
  dialect: Dialect,
  tables: TableNames,
  recordId: RecordIdType,
  style?: PlaceholderStyle,
): (executor: Executor, returning: boolean) => Omit<Session, 'liveColumns'> {
  const family = dialect === 'mariadb' ? 'mysql' : dialect
  const Compiler = compilers(tables, style)[family]
  const unsupported = (): Promise<never> =>
    Promise.reject(
      new Error(
        'A session has no transactions of its own: its executor is in one, or is autocommit.',
      ),
    )
  return (executor, returning) => {
    const driver: Driver = {
      init: () => Promise.resolve(),
      destroy: () => Promise.resolve(),
      acquireConnection: () => Promise.resolve(createKyselyConnection(executor)),
      releaseConnection: () => Promise.resolve(),
      beginTransaction: unsupported,
      commitTransaction: unsupported,
      rollbackTransaction: unsupported,
    }
    const db = new Kysely<Schema>({
      dialect: {
        createDriver: () => driver,
        createQueryCompiler: () => new Compiler(),
        createAdapter: () =>
          family === 'postgres'
            ? new PostgresAdapter()
            : family === 'mysql'
              ? new MysqlAdapter()
              : new SqliteAdapter(),
        createIntrospector: (kysely) =>
          family === 'postgres'
            ? new PostgresIntrospector(kysely)
            : family === 'mysql'
              ? new MysqlIntrospector(kysely)
              : new SqliteIntrospector(kysely),
      },
    })
    return { dialect, db, executor, tables, recordId, returning }
  }
}
