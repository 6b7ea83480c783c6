import type { Models, NeedsRecord, RecordOf } from './attached/definitions.ts'
import type { SlotDefinition } from './attached/scope.ts'
import type { Database } from './database/database.ts'
import { tableNames, type TableNames, type TableOptions } from './database/schema.ts'
import type { RecordIdType } from './database/store.ts'
import type { Report, RetryOptions } from './delayed/definition.ts'
import { readDirect, type DirectOptions, type WaitingOptions } from './delayed/direct-options.ts'
import { ConfigurationError } from './errors.ts'
import { listText } from './message.ts'
import type { Authorize } from './http/authorize.ts'
import {
  readAfterRefusal,
  type AfterRefusal,
  type AfterRefusalOptions,
} from './http/after-refusal.ts'
import type { JobEngine } from './jobs/engine.ts'
import { readModels, wrong } from './models.ts'
import { nestedNames, optionNames } from './option-names.ts'
import { checkOptions } from './options.ts'
import { messageVerifier, type MessageVerifier } from './rails/message-verifier.ts'
import type { ImageProcessor } from './representations/image-processor.ts'
import { boundedService } from './services/bounded.ts'
import type { Service } from './services/service.ts'
import { readTimeouts, type ServiceTimeouts } from './services/timeouts.ts'
import { tracedService } from './services/traced.ts'
import { parseDuration, parseSize, type Duration, type Size } from './units.ts'

type Awaitable<T> = T | PromiseLike<T>

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

export type Config<M extends Models, S extends string, Tx, F extends boolean> = ActiveStorageConfig<
  M,
  S,
  Tx,
  F
> &
  FindRecord<M, F>

/** A configuration with its defaults, checked. Times in milliseconds, sizes in bytes. */
export interface Settings {
  readonly services: Readonly<Record<string, Service>>
  readonly service: string
  readonly models: Map<string, Map<string, SlotDefinition>>
  readonly findRecord: (type: string, id: string) => Promise<unknown>
  /** Whether the app itself finds records of the type. */
  readonly finds: (type: string) => boolean
  readonly recordId: RecordIdType
  readonly tables: TableNames
  readonly expiresIn: number
  readonly maxSize: number | undefined
  readonly retries: RetryOptions
  readonly direct: WaitingOptions
  readonly failedKeepFor: number | null
  readonly gemMoveAfter: number
  readonly verifier: MessageVerifier
  readonly basePath: string
  readonly afterRefusal: AfterRefusal
  readonly authorize: Authorize | undefined
  readonly report: Report
}

const serviceMethods: readonly (keyof Service)[] = [
  'upload',
  'download',
  'delete',
  'deletePrefixed',
  'exists',
  'compose',
  'copy',
  'url',
  'urlForDirectUpload',
]

/** Throws ConfigurationError on whatever could only fail later. */
export function readConfiguration(
  config: ActiveStorageConfig<Models, string, never, boolean> & { readonly findRecord?: object },
): Settings {
  checkOptions(config, optionNames, 'createActiveStorage')
  for (const [name, known] of Object.entries(nestedNames)) {
    const given = config[name as keyof typeof nestedNames]
    if (given !== undefined) checkOptions(given, known, `createActiveStorage: ${name}`)
  }
  if (typeof config.database?.open !== 'function')
    throw wrong('database is missing: pass sqlite(…), postgres(…) or mysql(…).')
  const service = readService(config)
  const models = readModels(config, service)
  const finders = readFinders(config.findRecord, models)
  const recordId = config.recordId ?? 'bigint'
  if (!['bigint', 'uuid', 'text'].includes(recordId))
    throw wrong(`recordId is '${String(recordId)}': bigint, uuid or text.`)
  for (const name of [config.tables?.prefix, config.tables?.schema])
    if (name !== undefined && !/^[A-Za-z_]\w{0,40}$/.test(name))
      throw wrong('tables.prefix and tables.schema must be letters, digits and underscores.')
  if (config.tables?.schema !== undefined && (config.database.dialect ?? 'postgres') !== 'postgres')
    throw wrong('tables.schema is for PostgreSQL; tables.prefix works everywhere.')
  const limits = readTimeouts(config.serviceTimeouts)
  const { jobs, images, rails, authorize, basePath = '/rails/active_storage' } = config
  if (!/^(\/[\w.~-]+)+$/.test(basePath) || /(^|\/)\.{1,2}(\/|$)/.test(basePath))
    throw wrong(
      `basePath is ${JSON.stringify(basePath)}: give a path such as '/rails/active_storage', without a slash at its end.`,
    )
  if (authorize !== undefined && typeof authorize !== 'function')
    throw wrong('authorize is no function: give (request, subject) => true or false.')
  if (jobs !== undefined && (typeof jobs.enqueue !== 'function' || typeof jobs.work !== 'function'))
    throw wrong('jobs is no engine: it needs enqueue and work.')
  if (images !== undefined && typeof images.transform !== 'function')
    throw wrong('images is no image processor, for it has no transform: pass sharp().')
  if (rails?.keyDigest !== undefined && !['SHA1', 'SHA256'].includes(rails.keyDigest))
    throw wrong(`rails.keyDigest is '${String(rails.keyDigest)}': SHA1 or SHA256.`)
  if (rails?.envelope !== undefined && !['marshal', 'json'].includes(rails.envelope))
    throw wrong(`rails.envelope is '${String(rails.envelope)}': marshal or json.`)
  if (config.secretKeyBase !== undefined && !isSecret(config.secretKeyBase))
    throw wrong(
      'secretKeyBase must be text or a list of texts, none of them empty. Leave it out to read SECRET_KEY_BASE on first use.',
    )
  return {
    services: Object.fromEntries(
      Object.entries(config.services).map(([name, each]) => [
        name,
        tracedService(name, boundedService(name, each, limits)),
      ]),
    ),
    service,
    models,
    findRecord: async (type, id) => {
      const finder = finders[type]
      return finder === undefined ? { type, id } : ((await finder(id)) ?? null)
    },
    finds: (type) => finders[type] !== undefined,
    recordId,
    tables: tableNames(config.tables),
    expiresIn: parseDuration(config.staging?.expiresIn ?? '24h', 'staging.expiresIn'),
    maxSize:
      config.staging?.maxSize === undefined
        ? undefined
        : parseSize(config.staging.maxSize, 'staging.maxSize'),
    retries: readRetries(config.retries),
    direct: readDirect(config.direct),
    failedKeepFor:
      config.failed?.keepFor === undefined
        ? null
        : parseDuration(config.failed.keepFor, 'failed.keepFor'),
    gemMoveAfter: parseDuration(config.gem?.moveAfter ?? '10m', 'gem.moveAfter'),
    verifier: messageVerifier({
      secrets: () => readSecrets(config.secretKeyBase),
      ...(rails?.keyDigest === undefined ? {} : { keyDigest: rails.keyDigest }),
      ...(rails?.envelope === undefined ? {} : { envelope: rails.envelope }),
    }),
    basePath,
    afterRefusal: readAfterRefusal(config.afterRefusal),
    authorize,
    report: reporter(config.logger),
  }
}

type Finder = (id: string) => unknown

function readFinders(
  given: object | undefined,
  models: ReadonlyMap<string, unknown>,
): Readonly<Record<string, Finder | undefined>> {
  if (given !== undefined && (typeof given !== 'object' || given === null))
    throw wrong('findRecord must be an object such as { User: (id) => users.find(id) }.')
  for (const [name, finder] of Object.entries(given ?? {})) {
    if (!models.has(name))
      throw wrong(`findRecord names the model '${name}', which is not defined.`)
    if (finder !== undefined && typeof finder !== 'function')
      throw wrong(
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
    throw wrong('services is empty: configure at least one, such as { local: disk({ root }) }.')
  for (const name of names) {
    const missing = serviceMethods.filter(
      (method) => typeof services[name]?.[method] !== 'function',
    )
    if (missing.length > 0)
      throw wrong(
        `services.${name} is no service: it lacks ${listText(missing)}. Pass one such as disk({ root }).`,
      )
  }
  if (only === undefined)
    throw wrong(
      `there are several services (${listText(names)}): say with service which one new files go to.`,
    )
  if (!names.includes(only))
    throw wrong(`service is '${only}', which is not among ${listText(names)}.`)
  return only
}

function readRetries(
  given: ActiveStorageConfig<Models, string, never, false>['retries'],
): RetryOptions {
  const attempts = given?.attempts ?? 10
  if (!(Number.isInteger(attempts) && attempts > 0))
    throw wrong('retries.attempts must be a whole number above 0.')
  const { minDelay = '5s', maxDelay = '1h' } = given ?? {}
  const delays = {
    minDelay: parseDuration(minDelay, 'retries.minDelay'),
    maxDelay: parseDuration(maxDelay, 'retries.maxDelay'),
  }
  if (delays.minDelay > delays.maxDelay)
    throw wrong(
      `retries.minDelay (${minDelay}) is longer than retries.maxDelay (${maxDelay}): set both, the shorter one first.`,
    )
  return { attempts, ...delays, for: parseDuration(given?.for ?? '3d', 'retries.for') }
}

function isSecret(given: unknown): boolean {
  const all: readonly unknown[] = Array.isArray(given) ? given : [given]
  return all.length > 0 && all.every((secret) => typeof secret === 'string' && secret !== '')
}

function readSecrets(given: string | readonly string[] | undefined): readonly string[] {
  const list = given ?? process.env['SECRET_KEY_BASE']
  const all = typeof list === 'string' ? [list] : (list ?? [])
  if (!isSecret(all))
    throw new ConfigurationError(
      'No secret to sign ids with: set SECRET_KEY_BASE in the environment, or pass secretKeyBase.',
    )
  return all
}

function reporter(logger: Logger | false | undefined): Report {
  if (logger === false) return () => undefined
  for (const level of ['debug', 'info', 'warn', 'error'] as const)
    if (logger !== undefined && typeof logger?.[level] !== 'function')
      throw wrong(
        `logger has no ${level}(): pass one with debug, info, warn and error, such as console, or false for silence.`,
      )
  if (logger !== undefined) return (level, message, details) => logger[level](message, details)
  return (level, message, details) => {
    if (level === 'warn' || level === 'error')
      console[level](`activestorage-delayed: ${message}`, details)
  }
}
