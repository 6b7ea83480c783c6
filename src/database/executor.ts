/** What crosses the bridge to a driver or an ORM: no Date, no boolean, no plain Uint8Array. */
export type Parameter = null | number | bigint | string | Buffer

/** A row by column name; bytes as a Buffer. */
export type Row = Readonly<Record<string, unknown>>

/** What one statement gave. */
export interface Result {
  readonly rows: readonly Row[]
  /** Rows changed by an insert, update or delete; 0 for a select. */
  readonly affected: number
}

/** Sends one statement over whatever connection is at hand: a pool's, or the user's open transaction. */
export interface Executor {
  /** Parameters are named as `Database.placeholders` has it. Rejects with the driver's own error. */
  run(sql: string, parameters: readonly Parameter[]): Promise<Result>
}
