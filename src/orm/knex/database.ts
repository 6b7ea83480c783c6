import type { Knex } from 'knex'
import type { Database } from '../../database/database.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { dialectOf, sendStatement } from './statements.ts'
import { afterCommit, checkOpen } from './transactions.ts'

/**
 * Creates a `database` over an app's Knex, also one below Objection: the library's statements run
 * on its connections, and transactions are Knex's own. Throws ConfigurationError for a client that
 * is not for PostgreSQL, MySQL, MariaDB or SQLite, and for Knex before 3.1.
 *
 * @example
 * declare const db: import('knex').Knex
 * const { knex } = await import('activestorage-delayed/knex')
 * const storage = createActiveStorage({ database: knex(db), services, models })
 * await db.transaction(async (trx) => {
 *   const [user] = await trx('users').insert({ name: 'Ada' }).returning('id')
 *   await storage.record('User', user.id, { transaction: trx }).photo.attachLater(file)
 * })
 */
export function knex(db: Knex): Database<Knex.Transaction> {
  const dialect = dialectOf(db)
  requireVersion('knex()', 'knex', '3.1.0')
  return bridgeDatabase<Knex.Transaction>({
    dialect,
    placeholders: 'marked',
    run: (tx, sql, parameters) => sendStatement(tx ?? db, sql, parameters),
    transaction: (run) =>
      db.transaction(run, dialect === 'sqlite' ? {} : { isolationLevel: 'read committed' }),
    check: checkOpen,
    afterCommit,
  })
}
