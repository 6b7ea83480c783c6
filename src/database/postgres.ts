import { types } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { ConfigurationError, IntegrityError, ServiceError } from '../errors/errors.ts'
import { requireVersion } from '../options/require-version.ts'
import { isUuid } from './uuid.ts'
import type { Database, OpenTransaction } from './database.ts'
import type { Executor, Parameter } from './executor.ts'
import { createEndedEarlyError, requirePool, requireUrl } from './errors.ts'

/** What the library uses of a `pg` client, and what `storage.transaction` hands to the app. */
export interface PgClient {
  query(
    text: string,
    values?: unknown[],
    // oxlint-disable-next-line typescript/no-explicit-any -- as `pg` types rows: the app knows them
  ): Promise<{ rows: any[]; rowCount?: number | null; command?: string }>
  /** 'I': none is open. Newer versions of `pg` tell it. */
  getTransactionStatus?(): string | null
}
/** A client of a pool. */
export interface PgPoolClient extends PgClient {
  release(destroy?: Error | boolean): void
}
/** What the library uses of a `pg` pool. */
export interface PgPool {
  connect(): Promise<PgPoolClient>
  query: PgClient['query']
  readonly options?: object
}

/** For a url with more to say. */
export interface PostgresOptions {
  /** May be a transaction pooler's. */
  readonly url: string | undefined
  /** Past the pooler, for listening. Default: `url`. */
  readonly directUrl?: string | undefined
  /** false: workers poll instead of listening. Default true. */
  readonly notify?: boolean
  /** Connections of the library's own pool. Default 10. */
  readonly max?: number
}

const POSTGRES_CALLER = 'postgres()'
const ignore = (): void => undefined

/**
 * PostgreSQL 13 and newer, by `pg`: a pool of the app's, or a url. A transaction object is a client with a transaction open.
 * Throws ConfigurationError without a url, and for `pg` before 8.16.
 *
 * @example
 * const database = postgres(process.env.DATABASE_URL)
 */
export function postgres(
  database: string | undefined | PgPool | PostgresOptions,
): Database<PgClient> {
  const options = readPostgresOptions(database)
  requireVersion(POSTGRES_CALLER, 'pg', '8.16.0')
  requireVersion(POSTGRES_CALLER, 'pg-copy-streams', '7.0.0')
  let pool =
    options === undefined ? requirePool(POSTGRES_CALLER, 'connect', database as PgPool) : undefined
  const opened = (): PgPool => {
    if (pool !== undefined) return pool
    const made = new pg.Pool({ connectionString: options?.url, max: options?.max ?? 10 })
    // A connection that the server ends must not end the process: an idle one, or one that nobody listens to yet.
    made.on('error', ignore)
    made.on('connect', (client) => client.on('error', ignore))
    pool = made as unknown as PgPool
    return pool
  }
  const over = (client: PgClient): Executor => ({
    async run(sql, parameters) {
      const result = await client.query(sql, parameters as Parameter[] as unknown[])
      const rows = (result.rows ?? []) as Record<string, unknown>[]
      return { rows, affected: result.command === 'SELECT' ? 0 : (result.rowCount ?? 0) }
    },
  })
  /** `spoil`: the client is closed instead of going back to the pool. */
  const withClient = async <T>(
    run: (client: PgPoolClient, spoil: (error: Error) => void) => Promise<T>,
  ): Promise<T> => {
    const client = await opened().connect()
    const emitter = client as unknown as {
      on?(event: 'error', listener: () => void): void
      off?(event: 'error', listener: () => void): void
    }
    emitter.on?.('error', ignore)
    let broken: Error | undefined
    try {
      return await run(client, (error) => (broken = error))
    } catch (error) {
      if (!(error instanceof pg.DatabaseError))
        broken ??= types.isNativeError(error) && isLostConnection(error) ? error : undefined
      throw error
    } finally {
      // Of one that is thrown away, more may come.
      if (broken === undefined) emitter.off?.('error', ignore)
      client.release(broken)
    }
  }
  return {
    finds: false,
    dialect: 'postgres',
    returning: true,
    writeConcurrency: Math.max(1, Math.min(3, (options?.max ?? 10) - 1)),
    executor: {
      run: (sql, parameters) =>
        withClient(async (client, spoil) => {
          try {
            return await over(client).run(sql, parameters)
          } catch (error) {
            // An error is sent before what failed lets go of its locks: the answer to a second statement tells that it has.
            if (error instanceof pg.DatabaseError) await client.query('select 1').catch(spoil)
            throw error
          }
        }),
    },
    // Connects with the first statement: the pool's last connection may be in the transaction that this call is made in.
    open: () => Promise.resolve('postgres'),
    transaction: <T>(run: (open: OpenTransaction<PgClient>) => Promise<T>) =>
      withClient(async (client, spoil) => {
        await client.query('begin isolation level read committed')
        try {
          const result = await run({ tx: client, executor: over(client) })
          // A transaction in which a statement failed is rolled back by COMMIT, without an error.
          if ((await client.query('commit')).command === 'ROLLBACK') throw createEndedEarlyError()
          return result
        } catch (error) {
          await client.query('rollback').catch(spoil)
          throw error
        }
      }),
    join(tx) {
      if (typeof (tx as PgClient | undefined)?.query !== 'function' || 'totalCount' in tx)
        throw new ConfigurationError(
          '{ transaction } must be the client that BEGIN was sent on, not the pool.',
        )
      if (tx.getTransactionStatus?.() === 'I')
        throw new ConfigurationError(
          'No transaction is open on the client: send BEGIN first, or leave { transaction } out.',
        )
      return over(tx)
    },
    isTransient: (error) =>
      ['40001', '40P01', '55P03'].includes(String((error as { code?: unknown }).code)),
    isUniqueViolation: (error) => (error as { code?: unknown }).code === '23505',
    readChunks: (table, fileId, from, to) =>
      withClient(async (client) => {
        // COPY takes no parameters: nothing but a uuid and whole numbers goes into its text.
        if (!isUuid(fileId))
          throw new ConfigurationError(`${JSON.stringify(fileId)} is no file id.`)
        const name = table
          .split('.')
          .map((part) => `"${part}"`)
          .join('.')
        const stream = (client as unknown as pg.PoolClient).query(
          copyTo(
            `copy (select data from ${name} where file_id = '${fileId}' and position >= ${Math.trunc(from)} and position < ${Math.trunc(to)} order by position) to stdout (format binary)`,
          ),
        )
        return readCopy(stream as AsyncIterable<Buffer>, fileId)
      }),
    ...(options?.notify === false
      ? {}
      : {
          listen: (channel, wake, changed) =>
            Promise.resolve(
              listenOnChannel(
                options === undefined
                  ? ((database as PgPool).options as pg.ClientConfig)
                  : { connectionString: options.directUrl ?? options.url },
                channel,
                wake,
                changed,
              ),
            ),
        }),
    async reserve() {
      const size =
        options === undefined
          ? ((database as PgPool).options as { max?: number } | undefined)?.max
          : (options.max ?? 10)
      if ((size ?? 10) < 3) return null
      const client = await opened().connect()
      // Without a listener, a connection that the server ends would end the process.
      const emitter = client as unknown as NodeJS.EventEmitter
      emitter.on?.('error', ignore)
      return {
        executor: over(client),
        async release(broken) {
          if (!broken) emitter.off?.('error', ignore)
          client.release(broken)
        },
      }
    },
    async close() {
      if (options !== undefined) await (pool as unknown as pg.Pool | undefined)?.end()
      if (options !== undefined) pool = undefined
    },
  }
}

function isLostConnection(error: Error): boolean {
  return /terminat|ECONN|EPIPE|not queryable|timeout/i.test(error.message)
}

const COPY_HEADER = 19

/**
 * The binary COPY format: a header of 19 bytes and its extension, then tuples of one field, then -1. Each field is copied
 * out as it arrives, so that its bytes are not held twice.
 */
async function readCopy(stream: AsyncIterable<Buffer>, fileId: string): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  let rest: Buffer = Buffer.alloc(0)
  let skip = -1
  let field: Buffer | null = null
  let filled = 0
  for await (const part of stream) {
    let data = rest.length === 0 ? part : Buffer.concat([rest, part])
    rest = Buffer.alloc(0)
    while (data.length > 0) {
      if (field !== null) {
        const copied: number = data.copy(field, filled)
        filled += copied
        data = data.subarray(copied)
        if (filled < field.length) continue
        chunks.push(field)
        field = null
      } else if (skip < 0 && data.length >= COPY_HEADER)
        skip = COPY_HEADER + data.readInt32BE(COPY_HEADER - 4)
      else if (skip > 0) {
        const skipped = Math.min(skip, data.length)
        skip -= skipped
        data = data.subarray(skipped)
      } else if (skip === 0 && data.length >= 2 && data.readInt16BE() === -1) break
      else if (skip === 0 && data.length >= 6) {
        const length = data.readInt32BE(2)
        if (length < 1)
          throw new IntegrityError(
            `The staged file ${fileId} has a chunk without bytes: something else wrote it. Send the file again.`,
          )
        field = Buffer.allocUnsafe(length)
        filled = 0
        data = data.subarray(6)
      } else {
        rest = data
        break
      }
    }
  }
  return chunks
}

/** A connection of its own that comes back by itself; at each return there may be work that was not heard of. */
function listenOnChannel(
  config: pg.ClientConfig,
  channel: string,
  wake: () => void,
  changed: (error: unknown) => void,
): () => Promise<void> {
  const stopping = new AbortController()
  let current: pg.Client | undefined
  const loop = async (): Promise<void> => {
    let down = false
    const lost = (error: unknown): void => {
      if (!down && !stopping.signal.aborted) changed(error)
      down = true
    }
    for (let wait = 500; !stopping.signal.aborted; wait = Math.min(wait * 2, 10_000)) {
      const client = new pg.Client(config)
      current = client
      const ended = new Promise<void>((resolve) => {
        client.on('error', (error) => {
          lost(error)
          resolve()
        })
        client.on('end', () => resolve())
      })
      try {
        await client.connect()
        client.on('notification', wake)
        await client.query(`listen "${channel}"`)
        wait = 500
        down = false
        changed(null)
        wake()
        await ended
        lost(
          new ServiceError(
            'The connection that listened for notifications has ended. It is opened again by itself.',
          ),
        )
      } catch (error) {
        lost(error)
      }
      await client.end().catch(() => undefined)
      await delay(wait, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }
  const done = loop()
  return async () => {
    stopping.abort()
    await current?.end().catch(() => undefined)
    await done
  }
}

/** undefined: it is a pool. */
function readPostgresOptions(
  database: string | undefined | PgPool | PostgresOptions,
): (PostgresOptions & { readonly url: string }) | undefined {
  const given =
    typeof database === 'object' && database !== null && 'url' in database ? database : undefined
  if (given === undefined && typeof database === 'object') return undefined
  return {
    ...given,
    url: requireUrl(
      POSTGRES_CALLER,
      'postgres://user:password@host:5432/app',
      given === undefined ? database : given.url,
    ),
  }
}
