import type { Executor } from './executor.ts'
import type { PlaceholderStyle } from './placeholders.ts'

/** Databases whose SQL differs. */
export type Dialect = 'postgres' | 'mysql' | 'mariadb' | 'sqlite'

/**
 * A transaction of the library's own: the object that the app gets, and the executor of the
 * library's statements.
 */
export interface OpenTransaction<Tx> {
  /** The object that the app gets. */
  readonly tx: Tx
  /** Runs the library's statements in the transaction. */
  readonly executor: Executor
}

/** A connection kept for one purpose. */
export interface ReservedConnection {
  /** Runs statements on this connection. */
  readonly executor: Executor
  /** Returns the connection to the pool. */
  release(): Promise<void>
  /** Closes the connection, because it may be broken. */
  destroy(): Promise<void>
}

/** Reads the records of one model through an ORM. */
export interface RecordSource {
  /** Loads a record afresh, outside of any transaction. null: there is no such record. */
  find(id: string): Promise<object | null>
  /**
   * Returns whether the class of the records, or one that extends it, has a method of this name.
   * Hooks may be methods.
   */
  hasMethod(method: string): boolean
  /** Sets the time of the record's last change, if it has such a column. */
  touch?(id: string): Promise<void>
}

/**
 * The members of a database that the library uses. `Tx` is the transaction object that the app
 * holds; `Finds` is true if the binding loads records by itself, as those of ORMs do.
 */
export interface Database<in out Tx, Finds extends boolean = false> {
  /** true: the app need not pass `findRecord`. */
  readonly findsRecords: Finds
  /**
   * Set if the dialect is known before `open`, so that options that do not fit it are refused at
   * start-up.
   */
  readonly dialect?: Dialect
  /** Finds an ORM's records of a model by the model's attachments. null: no class has these. */
  findRecordSource?(attachments: object): RecordSource | null
  /**
   * Returns the dialect. Called before any other member, also inside a transaction on the pool's
   * only connection: it must not wait for another one.
   */
  open(): Promise<Dialect>
  /**
   * Runs each statement by itself, on any connection. On SQLite it waits while a transaction is
   * open on the handle.
   */
  readonly executor: Executor
  /**
   * Form of the parameters in a statement: 'numbered' is `$1`, 'question' is `?`, 'marked' is the
   * character U+0001, for a binding that takes the text in pieces. Default: `$1` on PostgreSQL and
   * `?` elsewhere.
   */
  readonly placeholders?: PlaceholderStyle
  /**
   * Number of statements with bytes (chunks of files) that run at once at most, of all files
   * together.
   */
  readonly writeConcurrency: number
  /**
   * Runs `run` in a transaction at read committed (SQLite: BEGIN IMMEDIATE), commits, or rolls back
   * when it throws. Does not retry: see `transact`.
   */
  transaction<T>(run: (open: OpenTransaction<Tx>) => Promise<T>): Promise<T>
  /**
   * Runs `storage.transaction`, if the app's transactions differ from the library's own. Default:
   * `transaction`.
   */
  appTransaction?<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * Returns whether the transaction ended before its commit, such as by a deadlock on MySQL whose
   * error the app caught. Called before the app's work is committed. Left out if COMMIT itself
   * fails then.
   */
  hasEnded?(tx: Tx): Promise<boolean>
  /**
   * Returns an executor on the user's open transaction. Throws ConfigurationError if it knows that
   * none is open.
   */
  join(tx: Tx): Executor
  /**
   * Calls `done` after the commit of the user's outermost transaction. Left out if the binding is
   * not told of commits.
   */
  afterCommit?(tx: Tx, done: () => void): void
  /**
   * Returns whether the same transaction may succeed when it is run again (serialization failure,
   * deadlock, lock time-out, busy).
   */
  isTransient(error: unknown): boolean
  /** Returns whether a unique index refused the row. */
  isUniqueViolation(error: unknown): boolean
  /**
   * true: INSERT, UPDATE and DELETE with RETURNING return their rows on connections of the
   * library's own. Left out if statements pass through an ORM, which may drop the rows. Never used
   * in a user's transaction.
   */
  readonly returning?: boolean
  /**
   * Reads the chunks `from` (inclusive) to `to` (exclusive) of a file in order, in the driver's
   * fastest way.
   */
  readChunks?(table: string, fileId: string, from: number, to: number): Promise<Buffer[]>
  /**
   * Calls `wake` at each notification on `channel` of PostgreSQL, and connects again by itself.
   * Calls `changed` with null when it listens, and with the error when the connection is lost.
   * Returns a function that stops it.
   */
  listen?(
    channel: string,
    wake: () => void,
    changed: (error: unknown) => void,
  ): Promise<() => Promise<void>>
  /**
   * Takes a connection for the heartbeat. null: the pool is too small for that, or there is no
   * pool.
   */
  reserve?(): Promise<ReservedConnection | null>
  /** Closes the pool or handle that the library opened; the app's own stays open. */
  close(): Promise<void>
}
