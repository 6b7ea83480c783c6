import { IsolationLevel, type EntityManager, type MikroORM } from '@mikro-orm/core'
import { CompiledQuery } from 'kysely'
import type { Database, Dialect } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { hasMethod } from '../object-guards.ts'
import { bindManager } from './bind.ts'
import { requireKysely, platformNameOf } from './internals.ts'
import { createRecordSource, refuseHidingEntities } from './records.ts'
import { patchManager } from './save-manager.ts'
import { afterCommit } from './transactions.ts'

/**
 * Creates a `database` over an app's MikroORM: the library's statements run on its connections, in
 * the app's own transactions, and it loads the records for hooks. A transaction object is an
 * EntityManager. Throws ConfigurationError for a database that the library cannot use, for a class
 * whose fields hide attachments, and for MikroORM before 7.2.
 *
 * @example
 * declare const orm: import('@mikro-orm/core').MikroORM
 * const { mikroOrm } = await import('activestorage-delayed/mikro-orm')
 * const storage = createActiveStorage({ database: mikroOrm(orm), services, models: { User: userAttachments } })
 */
export function mikroOrm(orm: MikroORM): Database<EntityManager, true> {
  const dialect = dialectOf(orm)
  requireVersion('mikroOrm()', '@mikro-orm/core', '7.2.0')
  refuseHidingEntities(orm)
  patchManager(orm.em)
  bindManager(orm.em)
  const base = bridgeDatabase<EntityManager>({
    dialect,
    async run(em, sql, parameters) {
      const { rows, numAffectedRows } = await requireKysely(orm, em).executeQuery<
        Record<string, unknown>
      >(CompiledQuery.raw(sql, [...parameters]))
      return { rows, affected: Number(numAffectedRows ?? 0) }
    },
    transaction: (run) =>
      orm.em
        .fork()
        .transactional(
          (em) => run(em),
          dialect === 'sqlite' ? {} : { isolationLevel: IsolationLevel.READ_COMMITTED },
        ),
    check(em) {
      if (!hasMethod(em, 'isInTransaction'))
        throw new ConfigurationError(
          '{ transaction } must be the EntityManager that MikroORM hands over in em.transactional(…).',
        )
      if (!em.isInTransaction())
        throw new ConfigurationError(
          'No transaction is open on this EntityManager: use the one that em.transactional(…) hands over.',
        )
    },
    afterCommit,
  })
  return {
    ...base,
    findsRecords: true,
    findRecordSource: (attachments) => createRecordSource(orm, attachments),
  }
}

function dialectOf(orm: MikroORM | undefined): Dialect {
  const name = platformNameOf(orm)
  if (name === undefined)
    throw new ConfigurationError(
      'mikroOrm(): pass the MikroORM of the app, such as await MikroORM.init(…).',
    )
  if (/postgre/i.test(name)) return 'postgres'
  if (/mysql|maria/i.test(name)) return 'mysql'
  if (/sqlite/i.test(name)) return 'sqlite'
  throw new ConfigurationError(
    `mikroOrm(): ${name} cannot be used; PostgreSQL, MySQL, MariaDB and SQLite can.`,
  )
}
