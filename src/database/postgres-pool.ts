import { types } from 'node:util'
import pg from 'pg'
import { requirePool, requireUrl } from './errors.ts'
import type { Executor } from './executor.ts'

/** A `pg` client as the library uses it, and as `storage.transaction` hands it to the app. */
export interface PgClient {
  query(
    text: string,
    values?: unknown[],
    // oxlint-disable-next-line typescript/no-explicit-any -- as `pg` types rows: the app knows them
  ): Promise<{ rows: any[]; rowCount?: number | null; command?: string }>
  /** Returns 'I' outside of a transaction. Older versions of `pg` lack it. */
  getTransactionStatus?(): string | null
}
/** A client of a pool. */
export interface PgPoolClient extends PgClient {
  /** Returns the client to its pool. An error or true closes it instead. */
  release(destroy?: Error | boolean): void
}
/** A `pg` pool, as the library uses it. */
export interface PgPool {
  connect(): Promise<PgPoolClient>
  query: PgClient['query']
  readonly options?: object
}

/** Options of `postgres` with a URL. */
export interface PostgresOptions {
  /** URL of the server, or of a transaction pooler before it. */
  readonly url: string | undefined
  /** URL of the server itself, for listening, which a pooler does not support. Default: `url`. */
  readonly directUrl?: string | undefined
  /** false: workers poll instead of listening. Default true. */
  readonly notify?: boolean
  /** Connections of the library's own pool. Default 10. */
  readonly max?: number
}

/** Name of the function in errors. */
export const POSTGRES_CALLER = 'postgres()'
const DEFAULT_CONNECTIONS = 10
/**
 * Connections that a pool needs before one is reserved: one for submissions, one for a worker's
 * statements, one to reserve.
 */
const LEAST_TO_RESERVE = 3

const ignore = (): void => undefined

/** Events of a client. A pool that is not one of `pg` may lack them. */
interface ErrorEmitter {
  on?(event: 'error', listener: () => void): unknown
  off?(event: 'error', listener: () => void): unknown
}

/** The app's pool, or one of the library's own, which is opened at its first use. */
export class PostgresConnections {
  /** null: the pool is the app's. */
  readonly #options: (PostgresOptions & { readonly url: string }) | null
  #pool: PgPool | null
  #ownPool: pg.Pool | null = null

  constructor(database: string | undefined | PgPool | PostgresOptions) {
    const isPool = isPoolLike(database)
    this.#pool = isPool ? requirePool(POSTGRES_CALLER, 'connect', database) : null
    this.#options = isPool ? null : readPostgresOptions(database)
  }

  /**
   * Returns the number of connections in the pool; the default of `pg` if the app's pool does not
   * say it.
   */
  get size(): number {
    const options: PostgresOptions | { max?: number } = this.#options ?? this.#pool?.options ?? {}
    return options.max ?? DEFAULT_CONNECTIONS
  }

  /**
   * Returns the number of connections of the library's own pool; the default of `pg` for a pool of
   * the app.
   */
  get ownSize(): number {
    return this.#options?.max ?? DEFAULT_CONNECTIONS
  }

  /** Returns the configuration of the listening connection. null: listening is switched off. */
  get listenConfig(): pg.ClientConfig | null {
    if (this.#options === null) return this.#pool?.options ?? {}
    const { notify, directUrl, url } = this.#options
    return notify === false ? null : { connectionString: directUrl ?? url }
  }

  /**
   * Runs `run` with a client. `discard` closes it afterwards instead of giving it back to the pool.
   */
  async use<T>(
    run: (client: PgPoolClient, discard: (error: Error) => void) => Promise<T>,
  ): Promise<T> {
    const { client, release } = await this.#take()
    let broken: Error | undefined
    try {
      return await run(client, (error) => (broken = error))
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) && isLostConnection(error)) broken ??= error
      throw error
    } finally {
      release(broken)
    }
  }

  /** Takes a client for a long time. null: the pool is too small for that. */
  async reserve(): Promise<{
    readonly client: PgClient
    release(broken?: boolean): void
  } | null> {
    return this.size < LEAST_TO_RESERVE ? null : this.#take()
  }

  /** Ends the library's own pool; the app's stays open. */
  async close(): Promise<void> {
    if (this.#ownPool === null) return
    await this.#ownPool.end()
    this.#ownPool = null
    this.#pool = null
  }

  /**
   * Takes a client and listens to its errors, because an error without a listener would end the
   * process when the server ends the connection.
   */
  async #take(): Promise<{
    readonly client: PgPoolClient
    release(broken?: Error | boolean): void
  }> {
    const client: PgPoolClient & ErrorEmitter = await this.#open().connect()
    client.on?.('error', ignore)
    return {
      client,
      release(broken) {
        // A client that is thrown away may emit more errors.
        if (broken === undefined || broken === false) client.off?.('error', ignore)
        client.release(broken)
      },
    }
  }

  #open(): PgPool {
    if (this.#pool !== null) return this.#pool
    const { url, max = DEFAULT_CONNECTIONS } = this.#options ?? {}
    const pool = new pg.Pool({ connectionString: url, max })
    pool.on('error', ignore)
    pool.on('connect', (client) => client.on('error', ignore))
    this.#ownPool = pool
    this.#pool = pool
    return pool
  }
}

/** Returns the executor on one client. */
export function createPostgresExecutor(client: PgClient): Executor {
  return {
    async run(sql, parameters) {
      const { rows = [], rowCount, command } = await client.query(sql, [...parameters])
      return { rows, affected: command === 'SELECT' ? 0 : (rowCount ?? 0) }
    },
  }
}

const isPoolLike = (database: string | undefined | PgPool | PostgresOptions): database is PgPool =>
  typeof database === 'object' && (database === null || !('url' in database))

/** Returns the options. Throws ConfigurationError without a URL. */
function readPostgresOptions(
  database: string | undefined | PostgresOptions,
): PostgresOptions & { readonly url: string } {
  const given: PostgresOptions = typeof database === 'object' ? database : { url: database }
  return {
    ...given,
    url: requireUrl(POSTGRES_CALLER, 'postgres://user:password@host:5432/app', given.url),
  }
}

function isLostConnection(error: unknown): error is Error {
  return (
    types.isNativeError(error) && /terminat|ECONN|EPIPE|not queryable|timeout/i.test(error.message)
  )
}
