import type { Database, Dialect } from '../../database/database.ts'
import type { Result, Row } from '../../database/executor.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { createClientProxy, modelsOf } from './save-client.ts'
import {
  providerOf,
  rootOf,
  type AnyClient,
  type PrismaLike,
  type TransactionOf,
} from './client.ts'
import { toDriverError } from './driver-error.ts'
import { createRecordSource } from './records.ts'
import { openOf } from './transactions.ts'

/** Of `prisma`. */
export interface PrismaOptions {
  /** Where the client does not tell. */
  readonly dialect?: Dialect
}

const dialectByProvider: Readonly<Record<string, Dialect>> = {
  postgresql: 'postgres',
  postgres: 'postgres',
  mysql: 'mysql',
  sqlite: 'sqlite',
}

/** In milliseconds; Prisma's own are for what a request waits for. */
const TRANSACTION_LIMITS = { maxWait: 10_000, timeout: 60_000 }

/**
 * An app's PrismaClient: its connections carry the library's statements, its transactions are the app's own, and records that
 * hooks need are loaded by it. Pass the client that `$extends(withAttachments(…))` made, where there is one. A transaction
 * object is the `tx` of `$transaction(async (tx) => …)`.
 * Throws ConfigurationError for a provider that the library does not speak, and for Prisma before 7.0.
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
  const given = client as unknown as AnyClient
  const dialect = options.dialect ?? dialectOf(given)
  requireVersion(
    'prisma()',
    '@prisma/client',
    '7.0.0',
    (given as { _clientVersion?: unknown })._clientVersion,
  )
  // Without attachments of its own, a client's transactions are to be known all the same.
  const own = modelsOf(given) === undefined ? createClientProxy(given, []).proxy : given
  const isSqlite = dialect === 'sqlite'
  const transaction = async <T>(run: (tx: AnyClient) => Promise<T>): Promise<T> => {
    // From a turn of the event loop of its own: Prisma waits for nothing else on SQLite, so that what the app sends on the one
    // connection comes before or after a transaction of ours; and a busy worker leaves turns to the others in the process.
    if (isSqlite) await new Promise(setImmediate)
    return own.$transaction(
      run,
      isSqlite ? TRANSACTION_LIMITS : { ...TRANSACTION_LIMITS, isolationLevel: 'ReadCommitted' },
    )
  }
  // On SQLite what is outside of all transactions would be in whichever is open on the one connection: it takes its turn instead.
  const within = <T>(run: (on: AnyClient) => Promise<T>): Promise<T> =>
    isSqlite ? transaction(run) : run(own)
  const base = bridgeDatabase<AnyClient>({
    dialect,
    run: (tx, sql, parameters) =>
      tx === null
        ? within((on) => sendStatement(on, sql, parameters))
        : sendStatement(tx, sql, parameters),
    transaction,
    check(tx) {
      if (
        typeof (tx as Partial<AnyClient> | undefined)?.$queryRawUnsafe !== 'function' ||
        '$connect' in tx
      )
        throw new ConfigurationError(
          '{ transaction } must be the tx that Prisma hands over in $transaction(async (tx) => …), not the client.',
        )
      if (rootOf(tx) !== rootOf(own))
        throw new ConfigurationError(
          '{ transaction } is of another PrismaClient than the one that was passed to prisma().',
        )
      if (openOf(tx)?.isOpen === false)
        throw new ConfigurationError(
          'The transaction of Prisma is over: nothing more can be written in it.',
        )
    },
    afterCommit: (tx, done) => void openOf(tx)?.done.push(done),
  })
  const database: Database<AnyClient, true> = {
    ...base,
    finds: true,
    records: (attachments) => createRecordSource(own, attachments, within),
    // What the app throws in a transaction stays Prisma's own error.
    isTransient: (error) => base.isTransient(toDriverError(error)),
    isUniqueViolation: (error) => base.isUniqueViolation(toDriverError(error)),
  }
  return database as unknown as Database<TransactionOf<C>, true>
}

/** Not the call of a function of PostgreSQL's own, such as a lock: it returns void, which Prisma cannot read. */
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

/** Sums come as Decimal, where drivers give text. */
function decimalsToText(row: Row): Row {
  const isDecimal = (value: unknown): boolean =>
    typeof (value as { toFixed?: unknown } | null)?.toFixed === 'function' &&
    typeof value === 'object'
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, isDecimal(value) ? String(value) : value]),
  )
}

function dialectOf(client: AnyClient): Dialect {
  if (typeof (client as Partial<AnyClient> | undefined)?.$queryRawUnsafe !== 'function')
    throw new ConfigurationError(
      'prisma(): pass the PrismaClient of the app, such as new PrismaClient({ adapter }).',
    )
  const provider = String(providerOf(client))
  const found = dialectByProvider[provider]
  if (found !== undefined) return found
  throw new ConfigurationError(
    provider === 'undefined'
      ? "prisma(): this client does not tell what it speaks; say it, as in prisma(db, { dialect: 'postgres' })."
      : `prisma(): the library does not speak ${provider}: postgresql, mysql and sqlite it does.`,
  )
}
