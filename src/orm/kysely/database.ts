import { CompiledQuery, type Kysely, type Transaction } from 'kysely'
import type { Database, Dialect } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { hasMethod, prototypesOf } from '../object-guards.ts'

/** Options of `kysely`. */
export interface KyselyOptions {
  /**
   * Needed only for a dialect whose adapter extends none of Kysely's own. Default: read from the
   * adapter.
   */
  readonly dialect?: Dialect
}

/**
 * Creates a `database` over an app's Kysely: the library's statements run on its connections, and
 * transactions are Kysely's own. Throws ConfigurationError if the dialect is unknown.
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
      try {
        // The statement runs without plugins, because those of the app, such as CamelCasePlugin,
        // would rename the library's columns.
        const { rows, numAffectedRows } = await (tx ?? db)
          .withoutPlugins()
          .executeQuery<Record<string, unknown>>(CompiledQuery.raw(sql, [...parameters]))
        return { rows, affected: Number(numAffectedRows ?? 0) }
      } catch (error) {
        // A transaction of `execute(…)` has no state that could be asked before: only the failing
        // statement shows it.
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
    check(tx: unknown) {
      if (!hasMethod(tx, 'withoutPlugins') || Reflect.get(tx, 'isTransaction') !== true)
        throw new ConfigurationError(
          '{ transaction } must be the transaction that Kysely hands over in db.transaction().execute(…), not db itself.',
        )
      // Only a controlled transaction (`startTransaction()`) has these two.
      if (Reflect.get(tx, 'isCommitted') === true || Reflect.get(tx, 'isRolledBack') === true)
        throw createFinishedError()
    },
  })
}

const createFinishedError = (): ConfigurationError =>
  new ConfigurationError(
    "Kysely's transaction is finished: nothing more can be written in it. Open a new one.",
  )

const dialectsByAdapter: Readonly<Record<string, Dialect>> = {
  PostgresAdapter: 'postgres',
  MysqlAdapter: 'mysql',
  SqliteAdapter: 'sqlite',
}

/**
 * Reads the dialect from the class name of the adapter or of a class that it extends. `instanceof`
 * would fail where the app has installed a second Kysely.
 */
function dialectOf<DB>(db: Kysely<DB>): Dialect {
  if (!hasMethod(db, 'getExecutor'))
    throw new ConfigurationError(
      'kysely(): pass the Kysely of the app, such as new Kysely({ dialect }).',
    )
  for (const { constructor } of prototypesOf(db.getExecutor().adapter)) {
    const found = dialectsByAdapter[constructor.name]
    if (found !== undefined) return found
  }
  throw new ConfigurationError(
    "kysely(): this Kysely dialect is unknown. Say which database it is for, as in kysely(db, { dialect: 'postgres' }).",
  )
}
