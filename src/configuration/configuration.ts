import type { AfterRefusalLimits, AttachmentDefinition, Authorize } from '../attached/context.ts'
import type { Models } from '../attached/definitions.ts'
import type { Database } from '../database/database.ts'
import { createTableNames, type TableNames } from '../database/schema.ts'
import type { RecordIdType } from '../database/store.ts'
import type { RetryOptions } from '../delayed/context.ts'
import {
  readDirectAttachOptions,
  type DirectWaitOptions,
} from '../delayed/direct-attach-options.ts'
import type { Log } from '../diagnostics/log.ts'
import { formatValue } from '../errors/message.ts'
import { readAfterRefusal } from '../http/after-refusal.ts'
import type { ImageProcessor } from '../images/image-processor.ts'
import type { JobEngine } from '../jobs/engine.ts'
import { checkOptions } from '../options/check-options.ts'
import { parseDuration, parseSize } from '../options/units.ts'
import { createMessageVerifier, type MessageVerifier } from '../rails/message-verifier.ts'
import type { Service } from '../services/service.ts'
import type { AnyConfig } from './config.ts'
import { configurationError } from './configuration-error.ts'
import { readFinders, type RecordFinder } from './find-record.ts'
import { createLog } from './logger.ts'
import { readModels } from './models.ts'
import { nestedOptionNames, optionNames } from './option-names.ts'
import { checkSecrets, readSecrets } from './secrets.ts'
import { readDefaultService, readServices } from './services.ts'

/**
 * The options of `createActiveStorage` with their defaults, checked. Times in milliseconds, sizes
 * in bytes.
 */
export interface Settings {
  readonly database: Database<unknown, boolean>
  readonly services: Readonly<Record<string, Service>>
  readonly service: string
  /** The models as the app passed them: ORMs find a model by the identity of its attachments. */
  readonly givenModels: Models
  readonly models: ReadonlyMap<string, ReadonlyMap<string, AttachmentDefinition>>
  readonly knownAttachments: readonly { readonly type: string; readonly name: string }[]
  readonly finders: ReadonlyMap<string, RecordFinder>
  /** The app's own queue; null: the embedded engine. */
  readonly engine: JobEngine | null
  readonly images: ImageProcessor | undefined
  readonly recordId: RecordIdType
  readonly tables: TableNames
  readonly expiresIn: number
  readonly maxSize: number | undefined
  readonly retries: RetryOptions
  readonly directWait: DirectWaitOptions
  /** Milliseconds. null: failed uploads are kept for ever. */
  readonly failedKeepFor: number | null
  readonly gemMoveAfter: number
  readonly verifier: MessageVerifier
  readonly basePath: string
  readonly afterRefusal: AfterRefusalLimits
  readonly authorize: Authorize | undefined
  readonly log: Log
}

/**
 * Checks the options and fills in defaults. Throws ConfigurationError for all mistakes that would
 * otherwise show later.
 */
export function readConfiguration(config: AnyConfig): Settings {
  checkOptions(config, optionNames, 'createActiveStorage')
  for (const [name, given] of Object.entries(config)) {
    const known = nestedOptionNames[name]
    if (known !== undefined && given !== undefined)
      checkOptions(given, known, `createActiveStorage: ${name}`)
  }
  checkDatabase(config)
  const service = readDefaultService(config)
  const models = readModels(config, service)
  checkParts(config)
  const { staging, failed, gem, rails, secretKeyBase } = config
  return {
    database: config.database,
    services: readServices(config),
    service,
    givenModels: config.models,
    models,
    knownAttachments: [...models].flatMap(([type, attachments]) =>
      [...attachments.keys()].map((name) => ({ type, name })),
    ),
    finders: readFinders(config.findRecord, models),
    engine: config.jobs ?? null,
    images: config.images,
    recordId: config.recordId ?? 'bigint',
    tables: createTableNames(config.tables),
    expiresIn: parseDuration(staging?.expiresIn ?? '24h', 'staging.expiresIn'),
    maxSize:
      staging?.maxSize === undefined ? undefined : parseSize(staging.maxSize, 'staging.maxSize'),
    retries: readRetries(config.retries),
    directWait: readDirectAttachOptions(config.direct),
    failedKeepFor:
      failed?.keepFor === undefined ? null : parseDuration(failed.keepFor, 'failed.keepFor'),
    gemMoveAfter: parseDuration(gem?.moveAfter ?? '10m', 'gem.moveAfter'),
    verifier: createMessageVerifier({
      secrets: () => readSecrets(secretKeyBase),
      ...(rails?.keyDigest === undefined ? {} : { keyDigest: rails.keyDigest }),
      ...(rails?.envelope === undefined ? {} : { envelope: rails.envelope }),
    }),
    basePath: readBasePath(config.basePath),
    afterRefusal: readAfterRefusal(config.afterRefusal),
    authorize: config.authorize,
    log: createLog(config.logger),
  }
}

function checkDatabase({ database, recordId = 'bigint', tables }: AnyConfig): void {
  if (typeof database?.open !== 'function')
    throw configurationError(describeWrongDatabase(database))
  if (!['bigint', 'uuid', 'text'].includes(recordId))
    throw configurationError(`recordId is '${String(recordId)}': give bigint, uuid or text.`)
  for (const name of [tables?.prefix, tables?.schema])
    if (name !== undefined && !/^[A-Za-z_]\w{0,40}$/.test(name))
      throw configurationError(
        'tables.prefix and tables.schema must be letters, digits and underscores.',
      )
  if (tables?.schema !== undefined && (database.dialect ?? 'postgres') !== 'postgres')
    throw configurationError('tables.schema is for PostgreSQL; tables.prefix works everywhere.')
}

function describeWrongDatabase(given: unknown): string {
  const bindings = 'pass sqlite(…), postgres(…), mysql(…), or the binding of your ORM'
  if (given === undefined || given === null) return `database is missing: ${bindings}.`
  if (typeof given === 'object' && 'createQueryRunner' in given)
    return 'database is a DataSource of TypeORM: pass typeorm(dataSource) of activestorage-delayed/typeorm.'
  const kind = typeof given === 'string' ? 'text' : formatValue(given)
  return `database is ${kind}, which is no database of this package: ${bindings}.`
}

/**
 * Throws ConfigurationError if a part that the app passes lacks a member that the library calls.
 */
function checkParts({ jobs, images, rails, authorize, secretKeyBase }: AnyConfig): void {
  if (authorize !== undefined && typeof authorize !== 'function')
    throw configurationError(
      'authorize is not a function: give (request, subject) => true or false.',
    )
  if (jobs !== undefined && (typeof jobs.enqueue !== 'function' || typeof jobs.work !== 'function'))
    throw configurationError('jobs is not a job engine: it needs enqueue() and work().')
  if (images !== undefined && typeof images.transform !== 'function')
    throw configurationError(
      'images is not an image processor, for it has no transform(): pass sharp().',
    )
  if (rails?.keyDigest !== undefined && !['SHA1', 'SHA256'].includes(rails.keyDigest))
    throw configurationError(
      `rails.keyDigest is '${String(rails.keyDigest)}': give SHA1 or SHA256.`,
    )
  if (rails?.envelope !== undefined && !['marshal', 'json'].includes(rails.envelope))
    throw configurationError(`rails.envelope is '${String(rails.envelope)}': give marshal or json.`)
  checkSecrets(secretKeyBase)
}

function readBasePath(basePath: string = '/rails/active_storage'): string {
  if (!/^(\/[\w.~-]+)+$/.test(basePath) || /(^|\/)\.{1,2}(\/|$)/.test(basePath))
    throw configurationError(
      `basePath is ${JSON.stringify(basePath)}: give a path such as '/rails/active_storage', without a slash at its end.`,
    )
  return basePath
}

function readRetries(given: AnyConfig['retries']): RetryOptions {
  const { attempts = 10, minDelay = '5s', maxDelay = '1h', for: duration = '3d' } = given ?? {}
  if (!(Number.isInteger(attempts) && attempts > 0))
    throw configurationError('retries.attempts must be a whole number above 0.')
  const delays = {
    minDelay: parseDuration(minDelay, 'retries.minDelay'),
    maxDelay: parseDuration(maxDelay, 'retries.maxDelay'),
  }
  if (delays.minDelay > delays.maxDelay)
    throw configurationError(
      `retries.minDelay (${minDelay}) is longer than retries.maxDelay (${maxDelay}): set both, the shorter one first.`,
    )
  return { attempts, ...delays, for: parseDuration(duration, 'retries.for') }
}
