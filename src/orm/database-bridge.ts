import type { Database, Dialect, OpenTransaction } from '../database/database.ts'
import { createEndedEarlyError } from '../database/errors.ts'
import type { Executor, Parameter, Result } from '../database/executor.ts'
import { normalizeRow } from '../database/rows.ts'
import { isObject } from './object-guards.ts'

/**
 * The statements and transactions of an ORM or a query builder: all that its `Database` is made of.
 */
export interface DatabaseBridge<Tx> {
  readonly dialect: Dialect
  readonly placeholders?: Database<Tx>['placeholders']
  /** Runs one statement in the transaction. null: by itself, on any connection. */
  run(tx: Tx | null, sql: string, parameters: readonly Parameter[]): Promise<Result>
  /** Runs the ORM's own transaction, at read committed where the database has isolation levels. */
  transaction<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  /** Throws ConfigurationError for a value that is no open transaction. */
  check(tx: Tx): void
  /** Calls `done` when the outermost transaction is committed. Left out if the ORM does not say. */
  afterCommit?(tx: Tx, done: () => void): void
}

/**
 * Makes a `Database` that runs on an ORM's connections, in its transactions. Closing it closes
 * nothing.
 */
export function bridgeDatabase<Tx>({
  dialect,
  placeholders,
  run,
  transaction,
  check,
  afterCommit,
}: DatabaseBridge<Tx>): Database<Tx> {
  const over = (tx: Tx | null): Executor => ({
    run: async (sql, parameters) => {
      try {
        const { rows, affected } = await run(
          tx,
          sql,
          dialect === 'mysql' ? parameters.map(bigintToText) : parameters,
        )
        return { rows: rows.map(normalizeRow), affected }
      } catch (error) {
        throw isObject(error) ? findDriverError(error) : error
      }
    },
  })
  return {
    findsRecords: false,
    dialect,
    ...(placeholders === undefined ? {} : { placeholders }),
    ...(afterCommit === undefined ? {} : { afterCommit }),
    open: () => Promise.resolve(dialect),
    executor: over(null),
    writeConcurrency: dialect === 'sqlite' ? 1 : 3,
    transaction: <T>(work: (open: OpenTransaction<Tx>) => Promise<T>) =>
      transaction(async (tx) => {
        const executor = over(tx)
        const result = await work({ tx, executor })
        // PostgreSQL rolls back at COMMIT and reports no error if a statement failed before. No ORM
        // checks the response.
        if (dialect === 'postgres' && (await hasTransactionFailed(executor)))
          throw createEndedEarlyError()
        return result
      }),
    join(tx) {
      check(tx)
      return over(tx)
    },
    isTransient,
    isUniqueViolation,
    close: () => Promise.resolve(),
  }
}

/** Converts a bigint to text, because mysql2 does not accept bigints. */
const bigintToText = (parameter: Parameter): Parameter =>
  typeof parameter === 'bigint' ? String(parameter) : parameter

async function hasTransactionFailed(executor: Executor): Promise<boolean> {
  return executor.run('select 1', []).then(
    () => false,
    (error: unknown) => findDriverError(error).code === '25P02',
  )
}

interface DriverError {
  readonly code?: unknown
  readonly errno?: unknown
  readonly message?: unknown
}

const isDriverError = ({ code, errno }: DriverError): boolean =>
  typeof errno === 'number' ||
  (typeof code === 'string' && /^([0-9A-Z]{5}$|SQLITE_|ERR_SQLITE)/.test(code))

/**
 * Finds the driver's error, whose codes the library reads, in the error of an ORM: each wraps it in
 * its own way.
 */
function findDriverError(error: unknown): DriverError {
  for (let at = error, depth = 0; isObject(at) && depth < 5; depth += 1) {
    if (isDriverError(at)) return at
    at = at['driverError'] ?? at['original'] ?? at['parent'] ?? at['nativeError'] ?? at['cause']
  }
  return isObject(error) ? error : {}
}

function isTransient(error: unknown): boolean {
  const { code, errno, message } = findDriverError(error)
  return (
    ['40001', '40P01', '55P03'].includes(String(code)) ||
    [1213, 1205, 1020].includes(Number(errno)) ||
    /database (table )?is locked|SQLITE_BUSY/.test(`${String(message)} ${String(code)}`)
  )
}

function isUniqueViolation(error: unknown): boolean {
  const { code, errno, message } = findDriverError(error)
  return code === '23505' || Number(errno) === 1062 || /UNIQUE constraint/.test(String(message))
}
