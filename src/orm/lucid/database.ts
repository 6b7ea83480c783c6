import type { TransactionClientContract } from '@adonisjs/lucid/types/database'
import type { Database as LucidDatabase } from '@adonisjs/lucid/database'
import type { LucidModel, LucidRow } from '@adonisjs/lucid/types/model'
import type { Database, RecordSource } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { dialectOf, sendStatement } from '../knex/statements.ts'
import { afterCommit, checkOpen } from '../knex/transactions.ts'
import { refuseHidingFieldsOfClass } from '../reserved-members.ts'
import type { RecordId } from '../record-id.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { definitionsOf } from '../with-attachments.ts'
import { patchPreloader } from './preload.ts'
import { beginTransaction, watchClient } from './transactions.ts'

/** Of `lucid`. */
export interface LucidOptions {
  /** The model classes that have attachments: records that hooks need are loaded by them. */
  readonly models: readonly LucidModel[]
  /** The name of a connection of the app. Default: its default one. */
  readonly connection?: string
}

/**
 * An Adonis app's database service: its connection carries the library's statements, its transactions are the app's own. A
 * transaction is the client that `db.transaction(…)` hands over. Throws ConfigurationError for a connection that the library
 * does not speak, for a class without attachments, for one whose fields hide them, and for Lucid before 22.0.
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
      if (typeof (trx as Partial<TransactionClientContract> | undefined)?.knexClient !== 'function')
        throw new ConfigurationError(
          '{ transaction } must be the client that Lucid hands over in db.transaction(…).',
        )
      checkOpen(trx.knexClient)
    },
    afterCommit: (trx, done) => afterCommit(watchClient(trx).knexClient, done),
  })
  return { ...base, finds: true, records: (attachments) => createRecordSource(models, attachments) }
}

function createRecordSource(
  models: readonly LucidModel[],
  attachments: object,
): RecordSource | null {
  const all = models.filter((each) => definitionsOf(each) === attachments)
  for (const each of all) each.boot()
  assertOneTable(all, ({ name, table }) => ({ name, table }))
  const base = all.find((each) => !all.includes(Object.getPrototypeOf(each) as LucidModel))
  if (base === undefined) return null
  base.boot()
  const isTouched = [...base.$columnsDefinitions.values()].some(
    ({ meta }) => (meta as { autoUpdate?: boolean } | undefined)?.autoUpdate === true,
  )
  const find = async (id: RecordId): Promise<LucidRow | null> => {
    const found = await base.find(id)
    if (found !== null) return found
    // Hooks of the app's may hide a record, as a soft delete does: it is there all the same, and its files are its own.
    const key = base.$getColumn(base.primaryKey)!.columnName
    const row: object | null = await base.$adapter
      .modelConstructorClient(base)
      .from(base.table)
      .where(key, id as string)
      .first()
    return row === null ? null : base.$createFromAdapterResult(row)
  }
  return {
    find,
    hasMethod: (method) =>
      all.some(
        (each) =>
          typeof (each.prototype as unknown as Record<string, unknown>)[method] === 'function',
      ),
    async touch(id) {
      if (isTouched) await (await find(id))?.enableForceUpdate().saveQuietly()
    },
  }
}
