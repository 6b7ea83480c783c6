import type { Executor, Parameter, Result } from './executor.ts'
import { normalizeRow } from './rows.ts'

/* oxlint-disable typescript/no-explicit-any -- the two drivers return different results, and type them as loosely */
/**
 * A connection of `mariadb` or `mysql2/promise`, as the library uses it and `storage.transaction`
 * hands it to the app.
 */
export interface MysqlConnection {
  /** Runs a prepared statement. */
  execute(sql: string, values?: any): Promise<any>
  /** Runs a statement that is not prepared, such as COMMIT. */
  query(sql: string, values?: any): Promise<any>
}
/* oxlint-enable typescript/no-explicit-any */
/** A connection of a pool. */
export interface MysqlPoolConnection extends MysqlConnection {
  /** Returns the connection to its pool. */
  release(): unknown
  destroy?(): unknown
}
/** A pool of `mariadb` or `mysql2/promise`, as the library uses it. */
export interface MysqlPool {
  getConnection(): Promise<MysqlPoolConnection>
  end(): Promise<unknown>
}

/** Members of the two drivers that `MysqlConnection` leaves out. */
interface DriverConnection extends MysqlConnection {
  /**
   * Runs a prepared statement. Both drivers accept options here, but the types of `mysql2` do not
   * say so.
   */
  execute(options: string | object, values?: unknown): Promise<unknown>
  /** `mariadb`: the server's status after the last statement without an error. */
  readonly info?: { readonly status?: unknown }
  /** `mysql2/promise`: the connection that it wraps. */
  readonly connection?: unknown
}

/** The result of a write. `mariadb` returns it; `mysql2` returns it as the first of a pair. */
interface WriteResult {
  readonly affectedRows?: number | bigint
  readonly serverStatus?: number
}

type DriverResult = Record<string, unknown>[] | WriteResult

const IN_TRANSACTION = 1

/**
 * Options of both drivers: rows are objects, and placeholders are question marks, whatever the app
 * set for its pool.
 */
const ROW_OPTIONS = {
  rowsAsArray: false,
  nestTables: false,
  namedPlaceholders: false,
  typeCast: (_field: unknown, next: () => unknown): unknown => next(),
}

/**
 * Returns the executor on one connection. It prepares its statements: `query` would send bytes as
 * hex text.
 */
export function createMysqlExecutor(connection: MysqlConnection): Executor {
  return {
    async run(sql, parameters) {
      return toResult(await send(connection, sql, parameters))
    },
  }
}

async function send(
  connection: MysqlConnection,
  sql: string,
  parameters: readonly Parameter[],
): Promise<DriverResult> {
  const driver = connection as DriverConnection
  if (typeof driver.connection !== 'object')
    return (await driver.execute({ sql, ...ROW_OPTIONS }, parameters)) as DriverResult
  const [result] = (await driver.execute({
    sql,
    ...ROW_OPTIONS,
    values: parameters.map(toMysql2Parameter),
    supportBigNumbers: true,
    bigNumberStrings: true,
  })) as [DriverResult]
  return result
}

function toResult(result: DriverResult): Result {
  return Array.isArray(result)
    ? { rows: result.map(normalizeRow), affected: 0 }
    : { rows: [], affected: Number(result.affectedRows ?? 0) }
}

/**
 * Converts a number to text for `mysql2`, which sends numbers as doubles and has no bigint. The
 * server reads text as either.
 */
function toMysql2Parameter(parameter: Parameter): Parameter {
  return typeof parameter === 'bigint' || typeof parameter === 'number'
    ? String(parameter)
    : parameter
}

/** Reads the status that the driver knows without asking the server; 'unknown' for `mysql2`. */
export function readTransactionStatus(connection: MysqlConnection): 'open' | 'closed' | 'unknown' {
  const status = (connection as DriverConnection).info?.status
  if (typeof status !== 'number') return 'unknown'
  return (status & IN_TRANSACTION) === 0 ? 'closed' : 'open'
}

/**
 * Asks the server whether a transaction is open, because the driver's own status is that of the
 * last statement without an error.
 */
export async function isTransactionOpen(connection: MysqlConnection): Promise<boolean> {
  const result: unknown = await connection.query('do 0')
  const status = readTransactionStatus(connection)
  if (status !== 'unknown') return status === 'open'
  const [{ serverStatus }] = result as [WriteResult]
  return serverStatus === undefined || (serverStatus & IN_TRANSACTION) !== 0
}
