import type { Database, Dialect } from '../../database/database.ts'
import type { Result, Row } from '../../database/executor.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { hasMethod, isObject } from '../object-guards.ts'
import { modelsOf } from './bind.ts'
import type { AnyClient, PrismaLike, TransactionOf } from './client.ts'
import { toDriverError } from './driver-error.ts'
import { providerOf, rootOf, versionOf } from './internals.ts'
import { createRecordSource } from './records.ts'
import { createClientProxy } from './save-client.ts'
import { openOf } from './transactions.ts'

/** Options of `prisma`. */
export interface PrismaOptions {
  /** The dialect of the database. Default: the provider of the client's schema. */
  readonly dialect?: Dialect
}

const dialectByProvider: Readonly<Record<string, Dialect>> = {
  postgresql: 'postgres',
  postgres: 'postgres',
  mysql: 'mysql',
  sqlite: 'sqlite',
}

/** Milliseconds. Prisma's own limits are for transactions that a request waits for. */
const TRANSACTION_LIMITS = { maxWait: 10_000, timeout: 60_000 }

/**
 * Creates a `database` over an app's PrismaClient: the library's statements run on its connections,
 * in the app's own transactions, and it loads the records for hooks. Pass the client that
 * `$extends(withAttachments(…))` returned, if there is one. A transaction object is the `tx` of
 * `$transaction(async (tx) => …)`. Throws ConfigurationError for a provider that the library cannot
 * use, and for Prisma before 7.0.
 *
 * @example
 * declare const db: import('activestorage-delayed/prisma').PrismaLike
 * const { prisma } = await import('activestorage-delayed/prisma')
 * const storage = createActiveStorage({ database: prisma(db), services, models: { User: userAttachments } })
 */
export function prisma<C extends PrismaLike>(
  client: C,
  options: PrismaOptions = {},
): Database<TransactionOf<C>, true> {
  // The version is checked first, because an older client lacks the fields that are read next.
  requireVersion('prisma()', '@prisma/client', '7.0.0', versionOf(client))
  const given = requireClient(client)
  const dialect = options.dialect ?? dialectOf(given)
  // A client without attachments gets a proxy too, so that its transactions are known.
  const own = modelsOf(given) === undefined ? createClientProxy(given, []).proxy : given
  const isSqlite = dialect === 'sqlite'
  const transaction = async <T>(run: (tx: AnyClient) => Promise<T>): Promise<T> => {
    // Prisma has one connection to SQLite and no queue for it. The transaction begins in a turn of
    // the event loop of its own, so that it comes entirely before or after the app's statements,
    // and so that a busy worker lets the rest of the process run.
    if (isSqlite) await new Promise(setImmediate)
    return own.$transaction(
      run,
      isSqlite ? TRANSACTION_LIMITS : { ...TRANSACTION_LIMITS, isolationLevel: 'ReadCommitted' },
    )
  }
  // Statements outside of transactions wait for their turn on SQLite, because they would be in the
  // transaction that is open on the one connection.
  const within = <T>(run: (on: AnyClient) => Promise<T>): Promise<T> =>
    isSqlite ? transaction(run) : run(own)
  const base = bridgeDatabase<AnyClient>({
    dialect,
    run: (tx, sql, parameters) =>
      tx === null
        ? within((on) => sendStatement(on, sql, parameters))
        : sendStatement(tx, sql, parameters),
    transaction,
    check: (tx) => checkTransaction(tx, own),
    afterCommit: (tx, done) => openOf(tx)?.level.afterCommit(done),
  })
  const database: Database<AnyClient, true> = {
    ...base,
    findsRecords: true,
    findRecordSource: (attachments) => createRecordSource(own, attachments, within),
    // Prisma's own errors reach these too: an error that leaves a transaction of the app is not
    // translated.
    isTransient: (error) => base.isTransient(toDriverError(error)),
    isUniqueViolation: (error) => base.isUniqueViolation(toDriverError(error)),
  }
  return database as unknown as Database<TransactionOf<C>, true>
}

/** Throws ConfigurationError for a value that is no open transaction of this client. */
function checkTransaction(tx: AnyClient, client: AnyClient): void {
  if (!hasMethod(tx, '$queryRawUnsafe') || '$connect' in tx)
    throw new ConfigurationError(
      '{ transaction } must be the tx that Prisma hands over in $transaction(async (tx) => …), not the client.',
    )
  if (rootOf(tx) !== rootOf(client))
    throw new ConfigurationError(
      '{ transaction } is of another PrismaClient than the one that was passed to prisma().',
    )
  if (openOf(tx)?.level.isActive === false)
    throw new ConfigurationError(
      'The transaction of Prisma is over: nothing more can be written in it.',
    )
}

/**
 * Returns whether a statement returns rows. A call of a function of PostgreSQL, such as a lock,
 * returns void, which Prisma cannot read.
 */
const returnsRows = (sql: string): boolean => /^\s*(select(?! pg_)|with)\b/i.test(sql)

async function sendStatement(
  client: AnyClient,
  sql: string,
  parameters: readonly unknown[],
): Promise<Result> {
  try {
    return returnsRows(sql)
      ? {
          rows: (await client.$queryRawUnsafe(sql, ...parameters)).map(decimalsToText),
          affected: 0,
        }
      : { rows: [], affected: await client.$executeRawUnsafe(sql, ...parameters) }
  } catch (error) {
    throw toDriverError(error)
  }
}

/** Converts sums to text, as drivers return them: Prisma returns them as Decimal. */
const decimalsToText = (row: Row): Row =>
  Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, isDecimal(value) ? String(value) : value]),
  )

const isDecimal = (value: unknown): boolean => isObject(value) && hasMethod(value, 'toFixed')

const isClient = (value: unknown): value is AnyClient =>
  hasMethod(value, '$queryRawUnsafe') &&
  hasMethod(value, '$executeRawUnsafe') &&
  hasMethod(value, '$transaction')

function requireClient(client: unknown): AnyClient {
  if (!isClient(client))
    throw new ConfigurationError(
      'prisma(): pass the PrismaClient of the app, such as new PrismaClient({ adapter }).',
    )
  return client
}

function dialectOf(client: AnyClient): Dialect {
  const provider = providerOf(client)
  const dialect = dialectByProvider[String(provider)]
  if (dialect !== undefined) return dialect
  throw new ConfigurationError(
    provider === undefined
      ? "prisma(): this client does not say its provider. Pass the dialect, as in prisma(db, { dialect: 'postgres' })."
      : `prisma(): the provider ${provider} cannot be used; postgresql, mysql and sqlite can.`,
  )
}
