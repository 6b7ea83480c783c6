import { ConfigurationError } from '../errors/errors.ts'
import { requireVersion } from '../options/require-version.ts'
import type { Database, Dialect, OpenTransaction } from './database.ts'
import type { Executor, Parameter, Result } from './executor.ts'
import { normalizeRow } from './rows.ts'
import { requirePool, requireUrl } from './errors.ts'

/* oxlint-disable typescript/no-explicit-any -- the two drivers answer differently, and type their answers as loosely */
/** What the library uses of a connection of `mariadb` or `mysql2/promise`, and what `storage.transaction` hands to the app. */
export interface MysqlConnection {
  execute(sql: string, values?: any): Promise<any>
  query(sql: string, values?: any): Promise<any>
}
/* oxlint-enable typescript/no-explicit-any */
/** A connection of a pool. */
export interface MysqlPoolConnection extends MysqlConnection {
  release(): unknown
  destroy?(): unknown
}
/** What the library uses of a pool of `mariadb` or `mysql2/promise`. */
export interface MysqlPool {
  getConnection(): Promise<MysqlPoolConnection>
  end(): Promise<unknown>
}

type Execute = (sql: unknown, values?: unknown) => Promise<unknown>

const MYSQL_CALLER = 'mysql()'

/**
 * MySQL 8 and MariaDB 10.6: a pool of `mariadb` or `mysql2/promise`, or a url (opened with `mariadb`). A transaction
 * object is a connection with a transaction open. Throws ConfigurationError without a url, or for one that is none.
 *
 * @example
 * const database = mysql(process.env.DATABASE_URL)
 */
export function mysql(database: string | undefined | MysqlPool): Database<MysqlConnection> {
  let pool =
    typeof database === 'object' ? requirePool(MYSQL_CALLER, 'getConnection', database) : undefined
  const url = pool === undefined ? parseMysqlUrl(database) : undefined
  const opened = async (): Promise<MysqlPool> => {
    if (pool !== undefined) return pool
    const driver = await import('mariadb').catch((error: unknown) => {
      throw new ConfigurationError(
        "mysql(url) opens its pool with 'mariadb', which is not installed: npm install mariadb.",
        {
          cause: error,
        },
      )
    })
    requireVersion('mysql(url)', 'mariadb', '3.4.0', driver.version)
    pool ??= driver.createPool({
      ...url,
      connectionLimit: 10,
      // By default the driver keeps all of them open.
      minimumIdle: 1,
      idleTimeout: 60,
    }) as unknown as MysqlPool
    return pool
  }
  const over = (connection: MysqlConnection): Executor => ({
    run: (sql, parameters) => executeStatement(connection, sql, parameters),
  })
  /** `spoil`: the connection is closed instead of going back to the pool. */
  const withConnection = async <T>(
    run: (connection: MysqlPoolConnection, spoil: () => void) => Promise<T>,
  ): Promise<T> => {
    const connection = await (await opened()).getConnection()
    let spoilt = false
    try {
      return await run(connection, () => (spoilt = true))
    } finally {
      await (spoilt && connection.destroy !== undefined
        ? connection.destroy()
        : connection.release())
    }
  }
  return {
    finds: false,
    dialect: 'mysql',
    writeConcurrency: 3,
    executor: {
      run: (sql, parameters) =>
        withConnection((connection) => executeStatement(connection, sql, parameters)),
    },
    // No statement differs between the two. Asking would wait for ever where all connections are in transactions that wait for us.
    open: (): Promise<Dialect> => Promise.resolve('mysql'),
    transaction: <T>(run: (open: OpenTransaction<MysqlConnection>) => Promise<T>) =>
      withConnection(async (connection, spoil) => {
        await connection.query('set transaction isolation level read committed')
        await connection.query('start transaction')
        try {
          const result = await run({ tx: connection, executor: over(connection) })
          await connection.query('commit')
          return result
        } catch (error) {
          await connection.query('rollback').catch(spoil)
          throw error
        }
      }),
    join(tx) {
      if (
        typeof (tx as MysqlConnection | undefined)?.execute !== 'function' ||
        'getConnection' in tx
      )
        throw new ConfigurationError(
          '{ transaction } must be the connection that START TRANSACTION was sent on, not the pool.',
        )
      if (readTransactionStatus(tx) === 'closed')
        throw new ConfigurationError(
          'No transaction is open on the connection: send START TRANSACTION first, or leave { transaction } out.',
        )
      return over(tx)
    },
    hasEnded: async (tx) => !(await isTransactionOpen(tx)),
    isTransient: (error) =>
      [1213, 1205, 1020].includes(Number((error as { errno?: unknown }).errno)),
    isUniqueViolation: (error) => Number((error as { errno?: unknown }).errno) === 1062,
    async reserve() {
      if (typeof database !== 'string') return null
      const connection = await (await opened()).getConnection()
      return {
        executor: over(connection),
        async release(broken) {
          await (broken ? connection.destroy?.() : connection.release())
        },
      }
    },
    async close() {
      if (typeof database === 'string') {
        await pool?.end()
        pool = undefined
      }
    },
  }
}

const IN_TRANSACTION = 1

/** What `mariadb` knows of its connection by itself; `mysql2` does not. */
function readTransactionStatus(connection: MysqlConnection): 'open' | 'closed' | 'unknown' {
  const status = (connection as { info?: { status?: unknown } }).info?.status
  if (typeof status !== 'number') return 'unknown'
  return (status & IN_TRANSACTION) === 0 ? 'closed' : 'open'
}

/** After a statement of its own: what the driver knows is of the last one that was answered without an error. */
async function isTransactionOpen(connection: MysqlConnection): Promise<boolean> {
  const answer = (await connection.query('do 0')) as unknown
  const status = readTransactionStatus(connection)
  if (status !== 'unknown') return status === 'open'
  const { serverStatus } = (answer as readonly [{ readonly serverStatus?: number }])[0]
  return serverStatus === undefined || (serverStatus & IN_TRANSACTION) !== 0
}

/** Prepared statements only: `query` would send bytes as hex text. The two drivers differ in how they answer. */
async function executeStatement(
  connection: MysqlConnection,
  sql: string,
  parameters: readonly Parameter[],
): Promise<Result> {
  const send = connection.execute.bind(connection) as unknown as Execute
  const isMysql2 =
    'connection' in connection &&
    typeof (connection as { connection?: unknown }).connection === 'object'
  const answer = isMysql2
    ? (
        (await send({
          sql,
          ...ROW_OPTIONS,
          values: parameters.map(toMysql2Parameter),
          supportBigNumbers: true,
          bigNumberStrings: true,
        })) as unknown[]
      )[0]
    : await send({ sql, ...ROW_OPTIONS }, parameters)
  if (Array.isArray(answer))
    return {
      rows: answer.map((row) => normalizeRow(row as Record<string, unknown>)),
      affected: 0,
    }
  return {
    rows: [],
    affected: Number((answer as { affectedRows?: number | bigint }).affectedRows ?? 0),
  }
}

/** Whatever the app set for its pool: rows are objects, and placeholders are question marks. */
const ROW_OPTIONS = {
  rowsAsArray: false,
  nestTables: false,
  namedPlaceholders: false,
  typeCast: (_field: unknown, next: () => unknown): unknown => next(),
}

/** mysql2 sends numbers as doubles and has no bigints; text is read as either. */
function toMysql2Parameter(parameter: Parameter): Parameter {
  return typeof parameter === 'bigint' || typeof parameter === 'number'
    ? String(parameter)
    : parameter
}

function parseMysqlUrl(text: unknown): {
  host: string
  port: number
  user: string
  password: string
  database: string
} {
  const example = 'mysql://user:password@host:3306/app'
  const url = URL.parse(requireUrl(MYSQL_CALLER, example, text))
  if (url === null)
    throw new ConfigurationError(`${MYSQL_CALLER}: the url cannot be read. Such as ${example}.`)
  if (url.search !== '')
    throw new ConfigurationError(
      `${MYSQL_CALLER}: options after '?' are not read. Make the pool yourself and pass it, such as mysql(mariadb.createPool({ host, ssl: true })).`,
    )
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 3306),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1),
  }
}
