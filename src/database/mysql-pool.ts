import { ConfigurationError } from '../errors/errors.ts'
import { requireVersion } from '../options/require-version.ts'
import { requirePool, requireUrl } from './errors.ts'
import type { MysqlPool, MysqlPoolConnection } from './mysql-client.ts'

const MYSQL_CALLER = 'mysql()'
const EXAMPLE = 'mysql://user:password@host:3306/app'

/** Host and account, as the driver takes them. */
interface MysqlAccount {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

/** The app's pool, or one of the library's own, which is opened at its first use. */
export class MysqlConnections {
  /** null: the pool is the app's. */
  readonly #account: MysqlAccount | null
  #pool: MysqlPool | null

  constructor(database: string | undefined | MysqlPool) {
    const isPool = typeof database === 'object'
    this.#pool = isPool ? requirePool(MYSQL_CALLER, 'getConnection', database) : null
    this.#account = isPool ? null : parseMysqlUrl(database)
  }

  /** Whether the pool is the library's own. */
  get isOwn(): boolean {
    return this.#account !== null
  }

  /** Takes a connection out of the pool; its `release` returns it. */
  async take(): Promise<MysqlPoolConnection> {
    const pool = this.#pool ?? (await this.#open())
    return pool.getConnection()
  }

  /**
   * Runs `run` with a connection. `discard` closes it afterwards instead of giving it back to the
   * pool.
   */
  async use<T>(
    run: (connection: MysqlPoolConnection, discard: () => void) => Promise<T>,
  ): Promise<T> {
    const connection = await this.take()
    let isBroken = false
    try {
      return await run(connection, () => (isBroken = true))
    } finally {
      await (isBroken ? destroyConnection(connection) : connection.release())
    }
  }

  /** Ends the library's own pool; the app's stays open. */
  async close(): Promise<void> {
    if (this.#account === null) return
    await this.#pool?.end()
    this.#pool = null
  }

  async #open(): Promise<MysqlPool> {
    const driver = await import('mariadb').catch((cause: unknown) => {
      throw new ConfigurationError(
        "mysql(url) opens its pool with 'mariadb', which is not installed: npm install mariadb.",
        { cause },
      )
    })
    requireVersion('mysql(url)', 'mariadb', '3.4.0', driver.version)
    // Another call may have opened the pool while the driver was loaded.
    this.#pool ??= driver.createPool({
      ...this.#account,
      connectionLimit: 10,
      // The driver's default is to keep all connections open.
      minimumIdle: 1,
      idleTimeout: 60,
    })
    return this.#pool
  }
}

/** Closes a connection if the driver can, and returns it to its pool otherwise. */
export async function destroyConnection(connection: MysqlPoolConnection): Promise<void> {
  await (connection.destroy === undefined ? connection.release() : connection.destroy())
}

function parseMysqlUrl(text: unknown): MysqlAccount {
  const url = URL.parse(requireUrl(MYSQL_CALLER, EXAMPLE, text))
  if (url === null)
    throw new ConfigurationError(
      `${MYSQL_CALLER}: the url cannot be read. Pass one such as ${EXAMPLE}.`,
    )
  if (url.search !== '')
    throw new ConfigurationError(
      `${MYSQL_CALLER} does not read options after '?'. Make the pool yourself and pass it, such as mysql(mariadb.createPool({ host, ssl: true })).`,
    )
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 3306),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1),
  }
}
