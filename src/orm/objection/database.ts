import type { Knex } from 'knex'
import type { ModelClass, Model } from 'objection'
import type { Database, RecordSource } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { knex } from '../knex/database.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { definitionsOf } from '../with-attachments.ts'

/**
 * An app's Knex below Objection, and the model classes that have attachments: records that hooks need are loaded by them. A
 * transaction is the trx of Knex. Throws ConfigurationError for what `knex()` refuses, for a class without
 * attachments, and for Objection before 3.1.
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
    finds: true,
    records: (attachments) => createRecordSource(db, classes, attachments),
  }
}

function createRecordSource(
  db: Knex,
  classes: readonly ModelClass<Model>[],
  attachments: object,
): RecordSource | null {
  const all = classes.filter((each) => definitionsOf(each) === attachments)
  assertOneTable(all, ({ name, tableName: table }) => ({ name, table }))
  const base = all.find((each) => !all.includes(Object.getPrototypeOf(each) as ModelClass<Model>))
  if (base === undefined) return null
  return {
    find: async (id) => (await base.query(db).findById(id)) ?? null,
    hasMethod: (method) =>
      all.some(
        (each) =>
          typeof (each.prototype as unknown as Record<string, unknown>)[method] === 'function',
      ),
    // Empty as it is, the class's own $beforeUpdate may set a column; where it does not, there is no statement.
    touch: async (id) => void (await base.query(db).findById(id).patch({})),
  }
}
