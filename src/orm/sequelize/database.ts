import { QueryTypes, Transaction, type QueryOptions, type Sequelize } from 'sequelize'
import type { Database, Dialect } from '../../database/database.ts'
import type { Parameter, Result, Row } from '../../database/executor.ts'
import { PLACEHOLDER_MARK } from '../../database/placeholders.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { requireVersion } from '../../options/require-version.ts'
import { bridgeDatabase } from '../database-bridge.ts'
import { hasMethod } from '../object-guards.ts'
import { readSqliteStorage } from './internals.ts'
import { patchModels } from './preload.ts'
import { createRecordSource } from './records.ts'
import { afterCommit, beginTransaction, isFinished, runWrite } from './transactions.ts'

const dialectsByName: Readonly<Record<string, Dialect>> = {
  postgres: 'postgres',
  mysql: 'mysql',
  mariadb: 'mysql',
  sqlite: 'sqlite',
}

/**
 * Creates a `database` over an app's Sequelize: the library's statements run on its connections,
 * transactions are Sequelize's own, and records for hooks are loaded by its models. Throws
 * ConfigurationError for an unsupported dialect, for SQLite in memory, where all requests share one
 * connection and one transaction, and for Sequelize before 6.37.
 *
 * @example
 * declare const sequelize: import('sequelize').Sequelize
 * const { sequelize: sequelizeDatabase } = await import('activestorage-delayed/sequelize')
 * const storage = createActiveStorage({ database: sequelizeDatabase(sequelize), services, models: { User: userAttachments } })
 */
export function sequelize(app: Sequelize): Database<Transaction, true> {
  const dialect = dialectOf(app)
  const { version }: object & { readonly version?: unknown } = app.constructor
  requireVersion('sequelize()', 'sequelize', '6.37.0', version)
  patchModels(app)
  const base = bridgeDatabase<Transaction>({
    dialect,
    placeholders: 'marked',
    run: (transaction, text, parameters) =>
      sendStatement(app, transaction, numberParameters(text), parameters),
    transaction: (run) =>
      beginTransaction(
        app,
        dialect === 'sqlite' ? {} : { isolationLevel: Transaction.ISOLATION_LEVELS.READ_COMMITTED },
        run,
      ),
    check(transaction) {
      if (!hasMethod(transaction, 'afterCommit'))
        throw new ConfigurationError(
          '{ transaction } must be the Transaction that Sequelize hands over in sequelize.transaction(…).',
        )
      if (isFinished(transaction))
        throw new ConfigurationError(
          "Sequelize's transaction is finished: nothing more can be written in it. Open a new one.",
        )
    },
    afterCommit,
  })
  return {
    ...base,
    findsRecords: true,
    findRecordSource: (attachments) => createRecordSource(app, attachments),
  }
}

/**
 * Writes `$1` for each mark. Sequelize looks for it also in text and in comments: a dollar of the
 * statement's own is doubled.
 */
function numberParameters(text: string): string {
  return text
    .split(PLACEHOLDER_MARK)
    .map((piece, index) => {
      const escaped = piece.replace(/\B\$(\$|(?=\w))/g, (match) => match + match)
      return index === 0 ? escaped : ` $${index} ${escaped}`
    })
    .join('')
}

async function sendStatement(
  app: Sequelize,
  transaction: Transaction | null,
  sql: string,
  parameters: readonly Parameter[],
): Promise<Result> {
  const options: QueryOptions = {
    bind: [...parameters],
    transaction,
    raw: true,
    logging: false,
    // The primary is read, because a replica may not have the newest rows yet.
    useMaster: true,
  }
  // The query type is set, because without it the result differs from dialect to dialect.
  if (/^\s*(select|with)\b/i.test(sql))
    return {
      rows: await app.query<Row>(sql, { ...options, type: QueryTypes.SELECT as const }),
      affected: 0,
    }
  const write = (): Promise<number> =>
    app.query(sql, { ...options, type: QueryTypes.BULKUPDATE as const })
  return { rows: [], affected: await (transaction === null ? runWrite(app, write) : write()) }
}

function dialectOf(app: Sequelize): Dialect {
  if (!hasMethod(app, 'getDialect'))
    throw new ConfigurationError(
      'sequelize(): pass the Sequelize of the app, such as new Sequelize(url).',
    )
  const name = app.getDialect()
  const dialect = dialectsByName[name]
  if (dialect === undefined)
    throw new ConfigurationError(
      `sequelize(): the dialect ${name} is not supported. Use postgres, mysql, mariadb or sqlite.`,
    )
  if (dialect === 'sqlite' && readSqliteStorage(app) === ':memory:')
    throw new ConfigurationError(
      "sequelize(): SQLite in memory has one connection, so one request's rollback would undo another's files. Pass { storage: 'app.sqlite' }; a temporary file will do.",
    )
  return dialect
}
