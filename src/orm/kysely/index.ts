import { CompiledQuery, type Kysely, type Transaction } from 'kysely'
import type { Database, Dialect } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { bridgeDatabase } from '../database-bridge.ts'

/** Of `kysely`. */
export interface KyselyOptions {
  /** Where it cannot be told from Kysely's own dialect. */
  readonly dialect?: Dialect
}

/**
 * An app's Kysely: its connections carry the library's statements, and its transactions are the app's own.
 * Throws ConfigurationError where the dialect is none that the library knows.
 *
 * @example
 * declare const db: import('kysely').Kysely<{ users: { id: import('kysely').Generated<string>; name: string } }>
 * const { kysely } = await import('activestorage-delayed/kysely')
 * const storage = createActiveStorage({ database: kysely(db), services, models })
 * await storage.transaction(async (trx) => {
 *   const { id } = await trx.insertInto('users').values({ name: 'Ada' }).returning('id').executeTakeFirstOrThrow()
 *   await storage.record('User', id, { transaction: trx }).photo.attachLater(file)
 * })
 */
export function kysely<DB>(db: Kysely<DB>, options: KyselyOptions = {}): Database<Transaction<DB>> {
  const dialect = options.dialect ?? dialectOf(db)
  return bridgeDatabase<Transaction<DB>>({
    dialect,
    async run(tx, sql, parameters) {
      // Plugins of the app's would rename our columns.
      try {
        const { rows, numAffectedRows } = await (tx ?? db)
          .withoutPlugins()
          .executeQuery<Record<string, unknown>>(CompiledQuery.raw(sql, [...parameters]))
        return { rows, affected: Number(numAffectedRows ?? 0) }
      } catch (error) {
        // Of one that execute(…) ended, Kysely tells no earlier.
        if (
          error instanceof Error &&
          /^Transaction is already (committed|rolled back)/.test(error.message)
        )
          throw createFinishedError()
        throw error
      }
    },
    transaction: (run) =>
      dialect === 'sqlite'
        ? db.transaction().execute(run)
        : db.transaction().setIsolationLevel('read committed').execute(run),
    check(tx) {
      const given = tx as Partial<Transaction<DB>> | undefined
      if (given?.isTransaction !== true || typeof given.withoutPlugins !== 'function')
        throw new ConfigurationError(
          '{ transaction } must be the transaction that Kysely hands over in db.transaction().execute(…), not db itself.',
        )
      const { isCommitted, isRolledBack } = given as {
        isCommitted?: boolean
        isRolledBack?: boolean
      }
      if (isCommitted === true || isRolledBack === true) throw createFinishedError()
    },
  })
}

const createFinishedError = (): ConfigurationError =>
  new ConfigurationError('The transaction of Kysely is over: nothing more can be written in it.')

const dialectsByAdapter: Readonly<Record<string, Dialect>> = {
  PostgresAdapter: 'postgres',
  MysqlAdapter: 'mysql',
  SqliteAdapter: 'sqlite',
}

/** By the name of the adapter's class or of one that it extends: the app may have a Kysely of its own, beside the library's. */
function dialectOf<DB>(db: Kysely<DB>): Dialect {
  if (typeof (db as Partial<Kysely<DB>> | undefined)?.getExecutor !== 'function')
    throw new ConfigurationError(
      'kysely(): pass the Kysely of the app, such as new Kysely({ dialect }).',
    )
  for (
    let at: object | null = db.getExecutor().adapter;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    const found = dialectsByAdapter[at.constructor.name]
    if (found !== undefined) return found
  }
  throw new ConfigurationError(
    "kysely(): the dialect is none that is known; say which it speaks, as in kysely(db, { dialect: 'postgres' }).",
  )
}
