import { DatabaseSync } from 'node:sqlite'
import { ConfigurationError, ServiceError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import type { Database, OpenTransaction } from './database.ts'
import type { Executor, Parameter, Result } from './executor.ts'
import { normalizeRow } from './rows.ts'
import { isBusy, getHandleQueue, waitBriefly, type HandleQueue } from './sqlite-queue.ts'

interface Statement {
  all(...parameters: unknown[]): unknown[]
  run(...parameters: unknown[]): { changes: number | bigint }
  columns?(): readonly unknown[]
  setReadBigInts?(enabled: boolean): unknown
  safeIntegers?(enabled: boolean): unknown
  readonly reader?: boolean
}

/** A handle of node:sqlite or of better-sqlite3. */
export interface SqliteHandle {
  prepare(sql: string): unknown
  exec(sql: string): unknown
  close(): unknown
  readonly isTransaction?: boolean
  readonly inTransaction?: boolean
}

const BUSY_TIMEOUT_MS = 10_000

/**
 * SQLite: a path (opened with node:sqlite in WAL mode), or the app's own handle of node:sqlite or better-sqlite3. Where
 * the app has the file open, pass its handle: two SQLite libraries on one file in one process lose acknowledged rows.
 * A transaction object is the handle itself.
 */
export function sqlite<D extends string | SqliteHandle>(
  database: D,
): Database<D extends string ? DatabaseSync : D> {
  return openSqlite(database) as unknown as Database<D extends string ? DatabaseSync : D>
}

function openSqlite(database: string | SqliteHandle): Database<DatabaseSync> {
  if (
    database === '' ||
    (typeof database !== 'string' &&
      typeof (database as SqliteHandle | undefined)?.prepare !== 'function')
  )
    throw new ConfigurationError(
      'sqlite(): pass the path of a file, or a handle of node:sqlite or better-sqlite3.',
    )
  let handle = typeof database === 'string' ? undefined : database
  const own = typeof database === 'string'
  const statements = new Map<string, Statement>()

  const opened = (): SqliteHandle => {
    if (handle !== undefined) return handle
    const made = new DatabaseSync(database as string, { timeout: 0 })
    made.exec('pragma journal_mode = wal')
    made.exec('pragma synchronous = full')
    made.exec('pragma foreign_keys = on')
    handle = made
    return made
  }
  const turns = (): HandleQueue => getHandleQueue(opened())

  const statement = (sql: string): Statement => {
    const cached = statements.get(sql)
    if (cached !== undefined) return cached
    const prepared = opened().prepare(sql) as Statement
    prepared.setReadBigInts?.(true)
    if (statements.size > 200) statements.clear()
    statements.set(sql, prepared)
    return prepared
  }

  const runNow = (sql: string, parameters: readonly Parameter[]): Result => {
    const prepared = statement(sql)
    const returns =
      prepared.columns === undefined || prepared.reader !== undefined
        ? prepared.reader === true
        : prepared.columns().length > 0
    if (!returns) return { rows: [], affected: Number(prepared.run(...parameters).changes) }
    if (prepared.setReadBigInts === undefined) prepared.safeIntegers?.(true)
    return {
      rows: prepared.all(...parameters).map((row) => normalizeRow(row as Record<string, unknown>)),
      affected: 0,
    }
  }

  const isOpen = (): boolean => {
    const { isTransaction, inTransaction } = opened()
    return isTransaction === true || inTransaction === true
  }

  /** Waits for a foreign transaction on the handle, or a busy file, without freezing the loop that would end them. */
  const whenFree = async <T>(run: () => T): Promise<T> => {
    const until = performance.now() + BUSY_TIMEOUT_MS
    for (;;) {
      if (!isOpen()) {
        try {
          return run()
        } catch (error) {
          if (!isBusy(error) || performance.now() > until) throw error
        }
      } else if (performance.now() > until)
        throw new ServiceError(
          'A transaction has been open on the SQLite handle for 10 s, and this statement is not part of it. Pass { transaction: handle } inside it, or commit sooner.',
        )
      await waitBriefly()
    }
  }

  const executor: Executor = {
    run: (sql, parameters) =>
      turns().run(async () => {
        const result = await whenFree(() => runNow(sql, parameters))
        if (parameters.some((parameter) => Buffer.isBuffer(parameter)))
          await new Promise(setImmediate)
        return result
      }),
  }
  const inside: Executor = {
    run: async (sql, parameters) => {
      if (!isOpen())
        throw new ConfigurationError(
          'The SQLite transaction is over: nothing more can be written in it.',
        )
      return runNow(sql, parameters)
    },
  }

  return {
    finds: false,
    dialect: 'sqlite',
    executor,
    writeConcurrency: 1,
    returning: true,
    open: () => {
      opened()
      return Promise.resolve('sqlite')
    },
    transaction: <T>(run: (open: OpenTransaction<DatabaseSync>) => Promise<T>) =>
      turns().run(async () => {
        // From a turn of the event loop of its own: nothing of the app's is in its queue of microtasks, so that statements
        // that the app sends on its handle come before or after a transaction of ours that waits for nothing but SQLite.
        await new Promise(setImmediate)
        await whenFree(() => opened().exec('begin immediate'))
        try {
          const result = await turns().runInside(() =>
            run({ tx: opened() as DatabaseSync, executor: inside }),
          )
          opened().exec('commit')
          // node:sqlite never waits: without this, a busy worker would leave no turn to anybody else in the process.
          await new Promise(setImmediate)
          return result
        } catch (error) {
          if (isOpen()) opened().exec('rollback')
          throw error
        }
      }),
    join(tx) {
      if ((tx as SqliteHandle) !== opened())
        throw new ConfigurationError(
          'The transaction is on another SQLite handle: pass that handle to sqlite() as the database.',
        )
      if (!isOpen())
        throw new ConfigurationError(
          'No transaction is open on the SQLite handle: BEGIN first, or leave { transaction } out.',
        )
      return inside
    },
    isTransient: isBusy,
    isUniqueViolation: (error) => /UNIQUE constraint/.test(messageOf(error)),
    close() {
      if (own && handle !== undefined) {
        statements.clear()
        handle.close()
        handle = undefined
      }
      return Promise.resolve()
    },
  }
}
