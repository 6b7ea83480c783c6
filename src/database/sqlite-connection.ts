import type { DatabaseSync } from 'node:sqlite'
import { ConfigurationError, ServiceError } from '../errors/errors.ts'
import type { Executor, Parameter, Result } from './executor.ts'
import { normalizeRow } from './rows.ts'
import { getHandleQueue, isBusy, waitBriefly, type HandleQueue } from './sqlite-queue.ts'

/** A handle of node:sqlite or of better-sqlite3. */
export interface SqliteHandle {
  prepare(sql: string): unknown
  exec(sql: string): unknown
  close(): unknown
  readonly isTransaction?: boolean
  readonly inTransaction?: boolean
}

/** A prepared statement of either library. Members that one of them lacks are optional. */
interface Statement {
  all(...parameters: unknown[]): Record<string, unknown>[]
  run(...parameters: unknown[]): { changes: number | bigint }
  columns?(): readonly unknown[]
  setReadBigInts?(enabled: boolean): unknown
  safeIntegers?(enabled: boolean): unknown
  readonly reader?: boolean
}

const BUSY_TIMEOUT_MS = 10_000
const MAX_STATEMENTS = 200

/** Lets other work of the process run, because node:sqlite never waits by itself. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A handle with its prepared statements. A handle of a path is opened at its first use. */
export class SqliteConnection<H extends SqliteHandle = DatabaseSync> {
  readonly #path: string | null
  readonly #open: (path: string) => H
  #handle: H | null
  readonly #statements = new Map<string, Statement>()

  /** Runs statements outside of transactions; waits while one is open on the handle. */
  readonly executor: Executor = {
    run: (sql, parameters) =>
      this.#queue.run(async () => {
        const result = await this.#whenFree(() => this.#run(sql, parameters))
        if (parameters.some((parameter) => Buffer.isBuffer(parameter))) await nextTurn()
        return result
      }),
  }

  /** Runs statements in the transaction that is open on the handle. */
  readonly transactionExecutor: Executor = {
    run: async (sql, parameters) => {
      if (!this.isTransactionOpen())
        throw new ConfigurationError(
          'The SQLite transaction is over: nothing more can be written in it.',
        )
      return this.#run(sql, parameters)
    },
  }

  /**
   * `given` is a path, which `open` opens at the first use, or a handle of the app, which `close`
   * leaves open.
   */
  constructor(given: string | H, open: (path: string) => H) {
    this.#path = typeof given === 'string' ? given : null
    this.#handle = typeof given === 'string' ? null : given
    this.#open = open
  }

  /** Returns the handle, and opens it at the first use. */
  get handle(): H {
    return this.open()
  }

  open(): H {
    this.#handle ??= this.#open(this.#path ?? '')
    return this.#handle
  }

  get #queue(): HandleQueue {
    return getHandleQueue(this.handle)
  }

  isTransactionOpen(): boolean {
    const { isTransaction, inTransaction } = this.handle
    return isTransaction === true || inTransaction === true
  }

  /** Runs `run` in BEGIN IMMEDIATE, after the work that is queued on the handle. */
  transaction<T>(run: () => Promise<T>): Promise<T> {
    return this.#queue.run(async () => {
      // The microtasks of the app run first, so that its own statements come before or after the
      // transaction, not in it.
      await nextTurn()
      await this.#whenFree(() => this.handle.exec('begin immediate'))
      try {
        const result = await this.#queue.runInside(run)
        this.handle.exec('commit')
        await nextTurn()
        return result
      } catch (error) {
        if (this.isTransactionOpen()) this.handle.exec('rollback')
        throw error
      }
    })
  }

  /** Closes the handle that was opened for a path. */
  close(): void {
    if (this.#path === null || this.#handle === null) return
    this.#statements.clear()
    this.#handle.close()
    this.#handle = null
  }

  /**
   * Waits while the app's transaction is open on the handle, or while the file is busy, without
   * blocking the process.
   */
  async #whenFree<T>(run: () => T): Promise<T> {
    const until = performance.now() + BUSY_TIMEOUT_MS
    for (;;) {
      if (!this.isTransactionOpen()) {
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

  #run(sql: string, parameters: readonly Parameter[]): Result {
    const statement = this.#prepare(sql)
    if (!returnsRows(statement))
      return { rows: [], affected: Number(statement.run(...parameters).changes) }
    // better-sqlite3 refuses this for a statement without rows.
    if (statement.setReadBigInts === undefined) statement.safeIntegers?.(true)
    return { rows: statement.all(...parameters).map(normalizeRow), affected: 0 }
  }

  #prepare(sql: string): Statement {
    const cached = this.#statements.get(sql)
    if (cached !== undefined) return cached
    const prepared = this.handle.prepare(sql) as Statement
    prepared.setReadBigInts?.(true)
    if (this.#statements.size > MAX_STATEMENTS) this.#statements.clear()
    this.#statements.set(sql, prepared)
    return prepared
  }
}

/**
 * Returns whether a statement returns rows. better-sqlite3 has `reader`; node:sqlite has the
 * columns of the result.
 */
function returnsRows(statement: Statement): boolean {
  if (statement.reader !== undefined) return statement.reader
  return (statement.columns?.() ?? []).length > 0
}
