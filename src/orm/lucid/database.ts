import type { TransactionClientContract } from '@adonisjs/lucid/types/database'
import type { Database as LucidDatabase } from '@adonisjs/lucid/database'
import type { LucidModel } from '@adonisjs/lucid/types/model'
import type { Database } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { dialectOf, sendStatement } from '../knex/statements.ts'
import { afterCommit, checkOpen } from '../knex/transactions.ts'
import { hasMethod } from '../object-guards.ts'
import { refuseHidingFieldsOfClass } from '../reserved-members.ts'
import { definitionsOf } from '../with-attachments.ts'
import { patchPreloader } from './preload.ts'
import { createRecordSource } from './records.ts'
import { beginTransaction, watchClient } from './transactions.ts'

/** Options of `lucid`. */
export interface LucidOptions {
  /** The model classes that have attachments: records that hooks need are loaded by them. */
  readonly models: readonly LucidModel[]
  /** Name of the app's connection to use. Default: the default connection. */
  readonly connection?: string
}

/**
 * Creates a `database` over an Adonis app's database service: the library's statements run on its
 * connection, and a transaction is the client that `db.transaction(…)` passes to its callback.
 * Throws ConfigurationError for an unsupported connection, for a class without attachments or with
 * fields that hide them, and for Lucid before 22.0.
 *
 * @example
 * declare const db: import('@adonisjs/lucid/database').Database
 * declare const User: import('@adonisjs/lucid/types/model').LucidModel
 * const { lucid } = await import('activestorage-delayed/lucid')
 * const storage = createActiveStorage({ database: lucid(db, { models: [User] }), services, models: { User: userAttachments } })
 */
export function lucid(
  db: LucidDatabase,
  { models, connection }: LucidOptions,
): Database<TransactionClientContract, true> {
  for (const each of models) {
    const attachments = definitionsOf(each)
    if (attachments === null)
      throw new ConfigurationError(
        `lucid(): ${each.name} has no attachments. Make it extend withAttachments(attachments, BaseModel).`,
      )
    refuseHidingFieldsOfClass(each, Object.keys(attachments))
  }
  requireVersion('lucid()', '@adonisjs/lucid', '22.0.0')
  patchPreloader()
  const client = db.connection(connection)
  const knex = client.getWriteClient()
  const dialect = dialectOf(knex)
  const base = bridgeDatabase<TransactionClientContract>({
    dialect,
    placeholders: 'marked',
    run: (trx, sql, parameters) => sendStatement(trx?.knexClient ?? knex, sql, parameters),
    transaction: (run) =>
      beginTransaction(
        client,
        run,
        dialect === 'sqlite' ? {} : { isolationLevel: 'read committed' },
      ),
    check(trx) {
      if (!hasMethod(trx, 'knexClient'))
        throw new ConfigurationError(
          '{ transaction } must be the client that Lucid hands over in db.transaction(…).',
        )
      checkOpen(trx.knexClient)
    },
    afterCommit: (trx, done) => afterCommit(watchClient(trx).knexClient, done),
  })
  return {
    ...base,
    findsRecords: true,
    findRecordSource: (attachments) => createRecordSource(models, attachments),
  }
}
