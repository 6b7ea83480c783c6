import type { Knex } from 'knex'
import type { ModelClass, Model } from 'objection'
import type { Database } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { knex } from '../knex/database.ts'
import { definitionsOf } from '../with-attachments.ts'
import { createRecordSource } from './records.ts'

/**
 * Creates a `database` over the Knex below Objection, and the model classes that have attachments:
 * records for hooks are loaded by them. A transaction is the trx of Knex. Throws ConfigurationError
 * for a Knex that `knex()` refuses, for a class without attachments, and for Objection before 3.1.
 *
 * @example
 * declare const db: import('knex').Knex
 * const { Model } = await import('objection')
 * const { objection, withAttachments } = await import('activestorage-delayed/objection')
 * class User extends withAttachments(userAttachments, Model) {
 *   static override tableName = 'users'
 *   declare id: string
 * }
 * const storage = createActiveStorage({ database: objection(db, [User]), services, models: { User: userAttachments } })
 */
export function objection(
  db: Knex,
  classes: readonly ModelClass<Model>[],
): Database<Knex.Transaction, true> {
  for (const each of classes)
    if (definitionsOf(each) === null)
      throw new ConfigurationError(
        `objection(): ${each.name} has no attachments. Make it extend withAttachments(attachments, Model).`,
      )
  requireVersion('objection()', 'objection', '3.1.0')
  return {
    ...knex(db),
    findsRecords: true,
    findRecordSource: (attachments) => createRecordSource(db, classes, attachments),
  }
}
