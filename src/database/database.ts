import type { Executor } from './executor.ts'
import type { PlaceholderStyle } from './placeholders.ts'

/** Databases that differ in what they are told. */
export type Dialect = 'postgres' | 'mysql' | 'mariadb' | 'sqlite'

/** A transaction of the library's own: what its user sees, and how the library's statements run in it. */
export interface OpenTransaction<Tx> {
  readonly tx: Tx
  readonly executor: Executor
}

/** A connection kept for one purpose. */
export interface ReservedConnection {
  readonly executor: Executor
  /** `broken`: it is closed instead of going back to the pool. */
  release(broken: boolean): Promise<void>
}

/** The records of one model, as an ORM has them. */
export interface RecordSource {
  /** Freshly loaded, outside of any transaction. null: there is no such record. */
  find(id: string): Promise<object | null>
  /** Whether its class, or one that extends it, has such a method: hooks may be methods. */
  hasMethod(method: string): boolean
  /** Sets when the record was last changed, if it has such a column. */
  touch?(id: string): Promise<void>
}

/**
 * A database as the library needs it. `Tx` is the transaction object that its users hold; `Finds` says that it can
 * load records by itself (an ORM's binding).
 */
export interface Database<in out Tx, Finds extends boolean = false> {
  /** true: `findRecord` may be left out. */
  readonly finds: Finds
  /** Where it is known before `open`: what does not fit it is told at start-up, not with the first statement. */
  readonly dialect?: Dialect
  /** An ORM's records of a model, by the model's attachments. null: it has no class with these. */
  records?(attachments: object): RecordSource | null
  /**
   * Tells which of the dialects this is. Called before any other member, also from inside a transaction on the pool's only
   * connection: it must not wait for another.
   */
  open(): Promise<Dialect>
  /** Autocommit, each statement on any connection. On SQLite it waits while a transaction is open on the handle. */
  readonly executor: Executor
  /**
   * How statements name their parameters: 'numbered' is `$1`, 'question' is `?`, 'marked' is the character U+0001, for
   * what takes the text in pieces. Default: as the dialect does, `$1` on PostgreSQL and `?` elsewhere.
   */
  readonly placeholders?: PlaceholderStyle
  /** How many statements that carry bytes may usefully run at once (inserting chunks), of all files together. */
  readonly writeConcurrency: number
  /**
   * Runs `run` in a transaction at read committed (SQLite: BEGIN IMMEDIATE), commits, or rolls back when it throws.
   * Does not retry: see `transact`.
   */
  transaction<T>(run: (open: OpenTransaction<Tx>) => Promise<T>): Promise<T>
  /** What `storage.transaction` runs, where the app's transactions are others than the library's own. */
  appTransaction?<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * true: the transaction ended before its commit, as by a deadlock on MySQL, whose error the app may have caught. Asked
   * before the app's own work is committed; left out where COMMIT itself tells.
   */
  hasEnded?(tx: Tx): Promise<boolean>
  /** Executor on the user's open transaction. Throws ConfigurationError where it can tell that none is open. */
  join(tx: Tx): Executor
  /** Calls `done` when the outermost transaction of the user's has been committed. Left out where nobody tells. */
  afterCommit?(tx: Tx, done: () => void): void
  /** true: the same transaction run again may succeed (serialization failure, deadlock, lock time-out, busy). */
  isTransient(error: unknown): boolean
  /** true: a unique index refused the row. */
  isUniqueViolation(error: unknown): boolean
  /**
   * true: INSERT, UPDATE and DELETE with RETURNING give their rows, on connections of the library's own. Left out where
   * statements pass through an ORM, which may drop them; a user's transaction is never asked for it.
   */
  readonly returning?: boolean
  /** Reads the chunks `from` (inclusive) to `to` (exclusive) of a file, in order, by the fastest way the driver has. */
  readChunks?(table: string, fileId: string, from: number, to: number): Promise<Buffer[]>
  /**
   * PostgreSQL: calls `wake` at each notification on `channel`, reconnecting by itself, and `changed` with null when it
   * listens, with the error when it does no longer. Returns how to stop.
   */
  listen?(
    channel: string,
    wake: () => void,
    changed: (error: unknown) => void,
  ): Promise<() => Promise<void>>
  /** A connection of the heartbeat's own; null where the pool is too small to spare one, or there is no pool. */
  reserve?(): Promise<ReservedConnection | null>
  /** Ends what the library itself opened; a pool or handle of the app's stays open. */
  close(): Promise<void>
}
