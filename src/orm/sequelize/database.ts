import { QueryTypes, Transaction, type QueryOptions, type Sequelize } from 'sequelize'
import type { Database, Dialect } from '../../database/database.ts'
import type { Result, Row } from '../../database/executor.ts'
import { PLACEHOLDER_MARK } from '../../database/placeholders.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { beginTransaction, runWrite } from './begin.ts'
import { patchModels } from './preload.ts'
import { createRecordSource } from './records.ts'
import { afterCommit, isFinished } from './transactions.ts'

const dialectsByName: Readonly<Record<string, Dialect>> = {
  postgres: 'postgres',
  mysql: 'mysql',
  mariadb: 'mysql',
  sqlite: 'sqlite',
}

/**
 * An app's Sequelize: its connections carry the library's statements, its transactions are the app's own, and records that
 * hooks need are loaded by it. Throws ConfigurationError for a dialect that the library does not speak, for SQLite in
 * memory, where all requests share one connection and one transaction, and for Sequelize before 6.37.
 *
 * @example
 * declare const sequelize: import('sequelize').Sequelize
 * const { sequelize: sequelizeDatabase } = await import('activestorage-delayed/sequelize')
 * const storage = createActiveStorage({ database: sequelizeDatabase(sequelize), services, models: { User: userAttachments } })
 */
export function sequelize(app: Sequelize): Database<Transaction, true> {
  const dialect = dialectOf(app)
  requireVersion(
    'sequelize()',
    'sequelize',
    '6.37.0',
    (app.constructor as { version?: unknown }).version,
  )
  patchModels(app)
  const base = bridgeDatabase<Transaction>({
    dialect,
    placeholders: 'marked',
    async run(transaction, text, parameters): Promise<Result> {
      const sql = numberParameters(text)
      // A replica may not have yet what was just written.
      const options: QueryOptions = {
        bind: [...parameters],
        transaction,
        raw: true,
        logging: false,
        useMaster: true,
      }
      // Of a statement that has no type, each dialect answers something else.
      if (/^\s*(select|with)\b/i.test(sql))
        return {
          rows: await app.query<Row>(sql, { ...options, type: QueryTypes.SELECT as const }),
          affected: 0,
        }
      const write = (): Promise<number> =>
        app.query(sql, { ...options, type: QueryTypes.BULKUPDATE as const })
      return { rows: [], affected: await (transaction === null ? runWrite(app, write) : write()) }
    },
    transaction: (run) =>
      beginTransaction(
        app,
        dialect === 'sqlite' ? {} : { isolationLevel: Transaction.ISOLATION_LEVELS.READ_COMMITTED },
        run,
      ),
    check(transaction) {
      if (typeof (transaction as Partial<Transaction> | undefined)?.afterCommit !== 'function')
        throw new ConfigurationError(
          '{ transaction } must be the Transaction that Sequelize hands over in sequelize.transaction(…).',
        )
      if (isFinished(transaction))
        throw new ConfigurationError(
          'The transaction of Sequelize is over: nothing more can be written in it.',
        )
    },
    afterCommit,
  })
  return { ...base, finds: true, records: (attachments) => createRecordSource(app, attachments) }
}

/** Sequelize takes `$1`, and looks for it also in text and in comments: a dollar of the statement's own is doubled. */
function numberParameters(text: string): string {
  return text
    .split(PLACEHOLDER_MARK)
    .map((piece, index) => {
      const escaped = piece.replace(/\B\$(\$|(?=\w))/g, (match) => match + match)
      return index === 0 ? escaped : ` $${index} ${escaped}`
    })
    .join('')
}

function dialectOf(app: Sequelize | undefined): Dialect {
  if (typeof (app as Partial<Sequelize> | undefined)?.getDialect !== 'function')
    throw new ConfigurationError(
      'sequelize(): pass the Sequelize of the app, such as new Sequelize(url).',
    )
  const name = app!.getDialect()
  const dialect = dialectsByName[name]
  if (dialect === undefined)
    throw new ConfigurationError(
      `sequelize(): the library does not speak ${name}: postgres, mysql, mariadb and sqlite it does.`,
    )
  const { storage, host } = (app as unknown as { options: { storage?: string; host?: string } })
    .options
  if (dialect === 'sqlite' && (storage ?? host ?? ':memory:') === ':memory:')
    throw new ConfigurationError(
      "sequelize(): SQLite in memory has one connection for all, so that one request's rollback undoes another's files: pass { storage: 'app.sqlite' }, a file, which may be a temporary one.",
    )
  return dialect
}
