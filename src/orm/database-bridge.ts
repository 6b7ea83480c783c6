import type { Database, Dialect, OpenTransaction } from '../database/database.ts'
import { createEndedEarlyError } from '../database/errors.ts'
import type { Executor, Parameter, Result } from '../database/executor.ts'
import { normalizeRow } from '../database/rows.ts'

/** How an ORM or a query builder is spoken to: all that its binding has to say. */
export interface DatabaseBridge<Tx> {
  /** Where it can be told before the first statement. */
  readonly dialect: Dialect
  readonly placeholders?: Database<Tx>['placeholders']
  /** One statement: in the transaction, or by itself on any connection. */
  run(tx: Tx | null, sql: string, parameters: readonly Parameter[]): Promise<Result>
  /** The ORM's own transaction, at read committed where the database has levels. */
  transaction<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  /** Throws ConfigurationError for what is no open transaction. */
  check(tx: Tx): void
  /** Calls `done` when the outermost transaction has been committed. Left out where the ORM does not tell. */
  afterCommit?(tx: Tx, done: () => void): void
}

/** A database that is reached through an ORM: on its connections, in its transactions. Nothing is closed with it. */
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
        throw findDriverError(error)
      }
    },
  })
  return {
    finds: false,
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
        // PostgreSQL answers COMMIT of a transaction in which a statement failed with a rollback, and no ORM looks at it.
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

/** mysql2 knows no bigints. */
const bigintToText = (parameter: Parameter): Parameter =>
  typeof parameter === 'bigint' ? String(parameter) : parameter

async function hasTransactionFailed(executor: Executor): Promise<boolean> {
  return executor.run('select 1', []).then(
    () => false,
    (error: unknown) => (error as DriverError).code === '25P02',
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

/** ORMs wrap what their driver threw, each in its own way; the library reads the driver's codes. */
function findDriverError(error: unknown): DriverError {
  for (
    let at: unknown = error, depth = 0;
    typeof at === 'object' && at !== null && depth < 5;
    depth += 1
  ) {
    if (isDriverError(at)) return at
    const { driverError, original, parent, nativeError, cause } = at as Record<string, unknown>
    at = driverError ?? original ?? parent ?? nativeError ?? cause
  }
  return (error ?? {}) as DriverError
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
