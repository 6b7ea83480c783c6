import type { Awaitable } from '../async/awaitable.ts'
import type { AfterRefusalLimits, AttachmentDefinition, Authorize } from '../attached/context.ts'
import type { Models, NeedsRecord, RecordOf } from '../attached/definitions.ts'
import type { Database } from '../database/database.ts'
import { createTableNames, type TableNames, type TableOptions } from '../database/schema.ts'
import type { RecordIdType } from '../database/store.ts'
import type { RetryOptions } from '../delayed/context.ts'
import type { Log } from '../diagnostics/log.ts'
import {
  readDirectOptions,
  type DirectOptions,
  type DirectWaitOptions,
} from '../delayed/direct-options.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { formatList } from '../errors/message.ts'
import { readAfterRefusal, type AfterRefusalOptions } from '../http/after-refusal.ts'
import type { JobEngine } from '../jobs/engine.ts'
import { readModels, configurationError } from './models.ts'
import { nestedOptionNames, optionNames } from './option-names.ts'
import { checkOptions } from '../options/check-options.ts'
import { createMessageVerifier, type MessageVerifier } from '../rails/message-verifier.ts'
import type { ImageProcessor } from '../images/image-processor.ts'
import { limitService } from '../services/limit-service.ts'
import type { Service } from '../services/service.ts'
import { readTimeouts, type ServiceTimeouts } from '../services/timeouts.ts'
import { traceService } from '../services/trace-service.ts'
import { parseDuration, parseSize, type Duration, type Size } from '../options/units.ts'

/** What the library reports to: the console, winston, or what wraps another. */
export interface Logger {
  debug(message: string, details?: object): void
  info(message: string, details?: object): void
  warn(message: string, details?: object): void
  error(message: string, details?: object): void
}

/** The options of `createActiveStorage`; beside them `findRecord`, asked for where hooks read more than `{ type, id }`. */
export interface ActiveStorageConfig<M extends Models, S extends string, Tx, F extends boolean> {
  /** `sqlite(…)`, `postgres(…)` or `mysql(…)`. */
  readonly database: Database<Tx, F>
  /** By the name that is stored with each blob. */
  readonly services: Readonly<Record<S, Service>>
  /** Which of `services` new files go to. May be left out where there is one. */
  readonly service?: NoInfer<S>
  /** By the names that are stored in record_type: Rails' class names. */
  readonly models: M
  /** Default: process.env.SECRET_KEY_BASE, read on first use. [current, ...previous] rotates. */
  readonly secretKeyBase?: string | readonly [current: string, ...previous: string[]] | undefined
  /** A queue of the app's own. Default: the embedded engine, which needs nothing. */
  readonly jobs?: JobEngine
  /** Needed for variantInfo. */
  readonly images?: ImageProcessor
  /** Of all records. Default 'bigint'. */
  readonly recordId?: RecordIdType
  readonly staging?: {
    /** How long a staged file waits to be submitted. Default '24h'. */
    readonly expiresIn?: Duration
    /** For attachments without a `maxSize` of their own. */
    readonly maxSize?: Size
    /** For attachments without a `maxFiles` of their own. */
    readonly maxFiles?: number
  }
  /**
   * Default: 10 attempts, 5 s doubling to 1 h, a quarter up or down. A service that is away uses up no attempts: it is
   * looked at every 5 min at most, `for` so long; default '3d'.
   */
  readonly retries?: {
    readonly attempts?: number
    readonly minDelay?: Duration
    readonly maxDelay?: Duration
    readonly for?: Duration
  }
  /** How long services are waited for; what takes longer ends with a ServiceUnavailableError, and uploads are tried again. */
  readonly serviceTimeouts?: ServiceTimeouts
  /** How long a save with `photo = file` waits for the file to be attached, and what it does when it is not. */
  readonly direct?: DirectOptions
  /** Default: console, for warnings and errors. winston fits; pino with its two arguments turned round. false: silent. */
  readonly logger?: Logger | false
  /** Bytes of failed uploads are kept this long; default for ever. */
  readonly failed?: { readonly keepFor?: Duration }
  /** Rows that the Ruby gem wrote are moved when they are older than this. Default '10m': stop Rails' job first. */
  readonly gem?: { readonly moveAfter?: Duration }
  readonly tables?: TableOptions
  /** Where the app mounts `handler`. Default '/rails/active_storage', as Rails. */
  readonly basePath?: `/${string}`
  /**
   * Asked before each request to `handler` is answered; false is 403. Default: whoever has a signed id may use it, as in
   * Rails. A blob that is attached in several places is asked for at each, until one says yes.
   */
  readonly authorize?: Authorize
  /** How much of a refused request is read on, so that the answer reaches a client that is still sending. */
  readonly afterRefusal?: AfterRefusalOptions
  /** How signed ids are written; all forms are read. Default: as Rails 8 does. */
  readonly rails?: {
    readonly keyDigest?: 'SHA1' | 'SHA256'
    readonly envelope?: 'marshal' | 'json'
  }
}

type Finders<M> = {
  readonly [N in NeedsRecord<M>]: (id: string) => Awaitable<RecordOf<M[N]> | null | undefined>
} & {
  readonly [N in Exclude<keyof M, NeedsRecord<M>>]?: (
    id: string,
  ) => Awaitable<object | null | undefined>
}

/** Asked for only by models whose hooks read more than `{ type, id }`, and not where the database's binding loads records. */
type FindRecord<M, F extends boolean> = F extends true
  ? { readonly findRecord?: Partial<Finders<M>> }
  : [NeedsRecord<M>] extends [never]
    ? { readonly findRecord?: Finders<M> }
    : { readonly findRecord: Finders<M> }

export type ConfigWithFinders<
  M extends Models,
  S extends string,
  Tx,
  F extends boolean,
> = ActiveStorageConfig<M, S, Tx, F> & FindRecord<M, F>

/** A configuration with its defaults, checked. Times in milliseconds, sizes in bytes. */
export interface Settings {
  readonly services: Readonly<Record<string, Service>>
  readonly service: string
  readonly models: Map<string, Map<string, AttachmentDefinition>>
  readonly findRecord: (type: string, id: string) => Promise<unknown>
  /** Whether the app itself finds records of the type. */
  readonly hasFinder: (type: string) => boolean
  readonly recordId: RecordIdType
  readonly tables: TableNames
  readonly expiresIn: number
  readonly maxSize: number | undefined
  readonly retries: RetryOptions
  readonly directWait: DirectWaitOptions
  readonly failedKeepFor: number | null
  readonly gemMoveAfter: number
  readonly verifier: MessageVerifier
  readonly basePath: string
  readonly afterRefusal: AfterRefusalLimits
  readonly authorize: Authorize | undefined
  readonly log: Log
}

/** Required members of a service. */
const serviceMethods: readonly (keyof Service)[] = [
  'upload',
  'download',
  'delete',
  'exists',
  'url',
  'urlForDirectUpload',
]

/** Throws ConfigurationError on whatever could only fail later. */
export function readConfiguration(
  config: ActiveStorageConfig<Models, string, never, boolean> & { readonly findRecord?: object },
): Settings {
  checkOptions(config, optionNames, 'createActiveStorage')
  for (const [name, known] of Object.entries(nestedOptionNames)) {
    const given = config[name as keyof typeof nestedOptionNames]
    if (given !== undefined) checkOptions(given, known, `createActiveStorage: ${name}`)
  }
  if (typeof config.database?.open !== 'function')
    throw configurationError('database is missing: pass sqlite(…), postgres(…) or mysql(…).')
  const service = readService(config)
  const models = readModels(config, service)
  const finders = readFinders(config.findRecord, models)
  const recordId = config.recordId ?? 'bigint'
  if (!['bigint', 'uuid', 'text'].includes(recordId))
    throw configurationError(`recordId is '${String(recordId)}': bigint, uuid or text.`)
  for (const name of [config.tables?.prefix, config.tables?.schema])
    if (name !== undefined && !/^[A-Za-z_]\w{0,40}$/.test(name))
      throw configurationError(
        'tables.prefix and tables.schema must be letters, digits and underscores.',
      )
  if (config.tables?.schema !== undefined && (config.database.dialect ?? 'postgres') !== 'postgres')
    throw configurationError('tables.schema is for PostgreSQL; tables.prefix works everywhere.')
  const limits = readTimeouts(config.serviceTimeouts)
  const { jobs, images, rails, authorize, basePath = '/rails/active_storage' } = config
  if (!/^(\/[\w.~-]+)+$/.test(basePath) || /(^|\/)\.{1,2}(\/|$)/.test(basePath))
    throw configurationError(
      `basePath is ${JSON.stringify(basePath)}: give a path such as '/rails/active_storage', without a slash at its end.`,
    )
  if (authorize !== undefined && typeof authorize !== 'function')
    throw configurationError('authorize is no function: give (request, subject) => true or false.')
  if (jobs !== undefined && (typeof jobs.enqueue !== 'function' || typeof jobs.work !== 'function'))
    throw configurationError('jobs is no engine: it needs enqueue and work.')
  if (images !== undefined && typeof images.transform !== 'function')
    throw configurationError('images is no image processor, for it has no transform: pass sharp().')
  if (rails?.keyDigest !== undefined && !['SHA1', 'SHA256'].includes(rails.keyDigest))
    throw configurationError(`rails.keyDigest is '${String(rails.keyDigest)}': SHA1 or SHA256.`)
  if (rails?.envelope !== undefined && !['marshal', 'json'].includes(rails.envelope))
    throw configurationError(`rails.envelope is '${String(rails.envelope)}': marshal or json.`)
  if (config.secretKeyBase !== undefined && !isSecret(config.secretKeyBase))
    throw configurationError(
      'secretKeyBase must be text or a list of texts, none of them empty. Leave it out to read SECRET_KEY_BASE on first use.',
    )
  return {
    services: Object.fromEntries(
      Object.entries(config.services).map(([name, each]) => [
        name,
        traceService(name, limitService(name, each, limits)),
      ]),
    ),
    service,
    models,
    findRecord: async (type, id) => {
      const finder = finders[type]
      return finder === undefined ? { type, id } : ((await finder(id)) ?? null)
    },
    hasFinder: (type) => finders[type] !== undefined,
    recordId,
    tables: createTableNames(config.tables),
    expiresIn: parseDuration(config.staging?.expiresIn ?? '24h', 'staging.expiresIn'),
    maxSize:
      config.staging?.maxSize === undefined
        ? undefined
        : parseSize(config.staging.maxSize, 'staging.maxSize'),
    retries: readRetries(config.retries),
    directWait: readDirectOptions(config.direct),
    failedKeepFor:
      config.failed?.keepFor === undefined
        ? null
        : parseDuration(config.failed.keepFor, 'failed.keepFor'),
    gemMoveAfter: parseDuration(config.gem?.moveAfter ?? '10m', 'gem.moveAfter'),
    verifier: createMessageVerifier({
      secrets: () => readSecretKeyBase(config.secretKeyBase),
      ...(rails?.keyDigest === undefined ? {} : { keyDigest: rails.keyDigest }),
      ...(rails?.envelope === undefined ? {} : { envelope: rails.envelope }),
    }),
    basePath,
    afterRefusal: readAfterRefusal(config.afterRefusal),
    authorize,
    log: createLog(config.logger),
  }
}

type Finder = (id: string) => unknown

function readFinders(
  given: object | undefined,
  models: ReadonlyMap<string, unknown>,
): Readonly<Record<string, Finder | undefined>> {
  if (given !== undefined && (typeof given !== 'object' || given === null))
    throw configurationError(
      'findRecord must be an object such as { User: (id) => users.find(id) }.',
    )
  for (const [name, finder] of Object.entries(given ?? {})) {
    if (!models.has(name))
      throw configurationError(`findRecord names the model '${name}', which is not defined.`)
    if (finder !== undefined && typeof finder !== 'function')
      throw configurationError(
        `findRecord.${name} is no function: give one that takes an id and returns the record.`,
      )
  }
  return (given ?? {}) as Readonly<Record<string, Finder | undefined>>
}

function readService({
  services,
  service,
}: {
  readonly services: Readonly<Record<string, Service>>
  readonly service?: string
}): string {
  const names = Object.keys(services ?? {})
  const only = service ?? (names.length === 1 ? names[0] : undefined)
  if (names.length === 0)
    throw configurationError(
      'services is empty: configure at least one, such as { local: disk({ root }) }.',
    )
  for (const name of names) {
    const missing = serviceMethods.filter(
      (method) => typeof services[name]?.[method] !== 'function',
    )
    if (missing.length > 0)
      throw configurationError(
        `services.${name} is no service: it lacks ${formatList(missing)}. Pass one such as disk({ root }).`,
      )
  }
  if (only === undefined)
    throw configurationError(
      `there are several services (${formatList(names)}): say with service which one new files go to.`,
    )
  if (!names.includes(only))
    throw configurationError(`service is '${only}', which is not among ${formatList(names)}.`)
  return only
}

function readRetries(
  given: ActiveStorageConfig<Models, string, never, false>['retries'],
): RetryOptions {
  const attempts = given?.attempts ?? 10
  if (!(Number.isInteger(attempts) && attempts > 0))
    throw configurationError('retries.attempts must be a whole number above 0.')
  const { minDelay = '5s', maxDelay = '1h' } = given ?? {}
  const delays = {
    minDelay: parseDuration(minDelay, 'retries.minDelay'),
    maxDelay: parseDuration(maxDelay, 'retries.maxDelay'),
  }
  if (delays.minDelay > delays.maxDelay)
    throw configurationError(
      `retries.minDelay (${minDelay}) is longer than retries.maxDelay (${maxDelay}): set both, the shorter one first.`,
    )
  return { attempts, ...delays, for: parseDuration(given?.for ?? '3d', 'retries.for') }
}

function isSecret(given: unknown): boolean {
  const all: readonly unknown[] = Array.isArray(given) ? given : [given]
  return all.length > 0 && all.every((secret) => typeof secret === 'string' && secret !== '')
}

function readSecretKeyBase(given: string | readonly string[] | undefined): readonly string[] {
  const list = given ?? process.env['SECRET_KEY_BASE']
  const all = typeof list === 'string' ? [list] : (list ?? [])
  if (!isSecret(all))
    throw new ConfigurationError(
      'No secret to sign ids with: set SECRET_KEY_BASE in the environment, or pass secretKeyBase.',
    )
  return all
}

function createLog(logger: Logger | false | undefined): Log {
  if (logger === false) return () => undefined
  for (const level of ['debug', 'info', 'warn', 'error'] as const)
    if (logger !== undefined && typeof logger?.[level] !== 'function')
      throw configurationError(
        `logger has no ${level}(): pass one with debug, info, warn and error, such as console, or false for silence.`,
      )
  if (logger !== undefined) return (level, message, details) => logger[level](message, details)
  return (level, message, details) => {
    if (level === 'warn' || level === 'error')
      console[level](`activestorage-delayed: ${message}`, details)
  }
}
