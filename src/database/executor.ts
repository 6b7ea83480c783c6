/**
 * A value that crosses to a driver or an ORM. There is no Date and no plain Uint8Array. A boolean
 * crosses on PostgreSQL only, and only in statements of a queue engine; elsewhere it is 0 or 1.
 */
export type Parameter = null | number | bigint | boolean | string | Buffer

/** A row by column name; bytes are a Buffer. */
export type Row = Readonly<Record<string, unknown>>

/** The result of one statement. */
export interface Result {
  /** The rows that a SELECT or a RETURNING returned. */
  readonly rows: readonly Row[]
  /** Number of rows that an INSERT, UPDATE or DELETE changed; 0 for a SELECT. */
  readonly affected: number
}

/** Sends one statement over a connection of the pool, or over the user's open transaction. */
export interface Executor {
  /**
   * Parameters are written as `Database.placeholders` says. Rejects with the driver's own error.
   */
  run(sql: string, parameters: readonly Parameter[]): Promise<Result>
}

/**
 * Sends one statement whose parameters are `$1`, `$2` …, whatever the database and the binding. A
 * number may be used more than once and in any order.
 */
export interface PortableExecutor {
  /**
   * Runs one statement. `parameters` may be null, undefined, booleans, numbers, bigints, text,
   * bytes, Dates (sent in UTC), arrays (PostgreSQL: an array, elsewhere JSON) and plain objects
   * (JSON). Throws ConfigurationError for other values, and for a placeholder without a value.
   * Rejects with the driver's own error.
   */
  run(sql: string, parameters?: readonly unknown[]): Promise<Result>
}
