import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { recordHandle, RESERVED, type RecordAttachments } from './attached/record.ts'
import { attachmentValue, blobValue, PURPOSE, uploadValue } from './attached/context.ts'
import { optionsOf, type Models, type NeedsRecord, type RecordOf } from './attached/definitions.ts'
import { readAttachable, type Attachable } from './attached/attachable.ts'
import type { SlotContext, SlotDefinition } from './attached/slot.ts'
import { StagedFile } from './attached/staged-file.ts'
import type { DelayedUpload, StoredBlob } from './attached/values.ts'
import { canonicalId } from './attachments/lane.ts'
import { purgeBlob } from './attachments/purge.ts'
import { blobKeyExists, findBlob, insertBlob } from './blobs/blob-rows.ts'
import { storeObject } from './blobs/store-object.ts'
import type { Database } from './database/database.ts'
import { migrate } from './database/migrate.ts'
import { tableNames, type TableOptions } from './database/schema.ts'
import { openStore, type RecordIdType, type Store } from './database/store.ts'
import { claimHooks, claimUploads } from './delayed/claim.ts'
import type { Delayed, Report, Told } from './delayed/definition.ts'
import { createLeases } from './delayed/leases.ts'
import { uploadStats, type Stats } from './delayed/stats.ts'
import { sweep } from './delayed/sweep.ts'
import { findUpload, fetchUploads, selectUploads } from './delayed/upload-rows.ts'
import { runHooks, runUpload, type RunResult } from './delayed/uploader.ts'
import { ActiveStorageError, ConfigurationError, InvalidInputError, StagedFileExpiredError, UnknownAttachmentError } from './errors.ts'
import { drainSources, startWorker, type Source } from './jobs/engine.ts'
import { keepObject, type JobRow } from './jobs/job-rows.ts'
import { jobSource } from './jobs/runners.ts'
import { messageVerifier } from './rails/message-verifier.ts'
import type { ImageProcessor } from './representations/image-processor.ts'
import type { Service } from './services/service.ts'
import { dropUnlinked, filesOf, findFiles } from './staging/file-rows.ts'
import { stageFile } from './staging/stage.ts'
import { parseDuration, parseSize, type Duration, type Size } from './units.ts'

type Awaitable<T> = T | PromiseLike<T>
export type Id = bigint | number | string

export interface Logger {
  debug(message: string, details?: object): void
  info(message: string, details?: object): void
  warn(message: string, details?: object): void
  error(message: string, details?: object): void
}

interface BaseConfig<M extends Models, S extends string, Tx, F extends boolean> {
  readonly database: Database<Tx, F>
  readonly services: Readonly<Record<S, Service>>
  /** Which of `services` new files go to. May be left out where there is one. */
  readonly service?: NoInfer<S>
  /** Names as they are stored in record_type: Rails' class names. */
  readonly models: M
  /** Default: process.env.SECRET_KEY_BASE, read on first use. [current, ...previous] rotates. */
  readonly secretKeyBase?: string | readonly [current: string, ...previous: string[]]
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
  /** Default: 10 attempts, 5 s doubling to 1 h, a quarter up or down. */
  readonly retries?: { readonly attempts?: number; readonly minDelay?: Duration; readonly maxDelay?: Duration }
  /** Default: console, for warnings and errors. pino and winston fit. false: silent. */
  readonly logger?: Logger | false
  /** Bytes of failed uploads are kept this long; default for ever. */
  readonly failed?: { readonly keepFor?: Duration }
  readonly tables?: TableOptions
  readonly rails?: { readonly keyDigest?: 'SHA1' | 'SHA256'; readonly envelope?: 'marshal' | 'json' }
}

type Finders<M> = { readonly [N in NeedsRecord<M>]: (id: string) => Awaitable<RecordOf<M[N]> | null | undefined> } & {
  readonly [N in Exclude<keyof M, NeedsRecord<M>>]?: (id: string) => Awaitable<object | null | undefined>
}
type FindRecord<M, F extends boolean> = F extends true
  ? { readonly findRecord?: Partial<Finders<M>> }
  : [NeedsRecord<M>] extends [never]
    ? { readonly findRecord?: Finders<M> }
    : { readonly findRecord: Finders<M> }

export interface DrainResult {
  readonly uploaded: number
  readonly retried: number
  readonly failed: number
  /** Pending ones that are not due yet, or were left by the timeout. */
  readonly remaining: number
}

export interface Worker extends AsyncDisposable {
  /** Takes no more work, waits for what runs, then gives back what is left. Default 25 s. */
  stop(options?: { readonly timeout?: Duration }): Promise<void>
  readonly done: Promise<void>
}

interface InTransaction<Tx> {
  readonly transaction?: Tx
}

type SlotName<M extends Models> = { [N in keyof M & string]: `${N}.${keyof M[N] & string}` }[keyof M & string]

export interface ActiveStorage<M extends Models, Tx> extends AsyncDisposable {
  /** Makes or completes the tables. Safe to call from many processes, and beside Rails' own migrations. */
  migrate(): Promise<void>
  /** The library's own transaction, for apps without an ORM. Commits when `run` returns, rolls back when it throws. */
  transaction<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  record<N extends keyof M & string>(model: N, id: Id, options?: InTransaction<Tx>): RecordAttachments<M[N]>
  /** Handles in the order of `ids`. */
  records<N extends keyof M & string>(model: N, ids: readonly Id[], options?: InTransaction<Tx>): Promise<RecordAttachments<M[N]>[]>
  /** Keeps the bytes in the database until they are submitted. */
  stage(file: Attachable, options?: { readonly signal?: AbortSignal; readonly for?: SlotName<M> }): Promise<StagedFile>
  readonly delayedUploads: {
    find(id: string): Promise<DelayedUpload | null>
    findSigned(signedId: string): Promise<DelayedUpload | null>
    /** Oldest first. `after`: the id of the last one of the page before. Default limit 100. */
    list(filter?: { readonly state?: DelayedUpload['state']; readonly model?: keyof M & string; readonly limit?: number; readonly after?: string }): Promise<DelayedUpload[]>
    stats(): Promise<Stats>
  }
  readonly blobs: {
    find(id: Id): Promise<StoredBlob | null>
    findSigned(signedId: string): Promise<StoredBlob | null>
    /** Uploads now; the blob is attached to nothing yet. */
    createAndUpload(file: Attachable, options?: { readonly service?: string }): Promise<StoredBlob>
  }
  /** Works until stopped. Nothing ever runs in the background unless this is called. */
  work(options?: { readonly concurrency?: number; readonly signal?: AbortSignal }): Worker
  /** What is due, then return: cron, serverless, tests. */
  drain(options?: { readonly timeout?: Duration; readonly concurrency?: number; readonly signal?: AbortSignal; readonly throwOnError?: boolean }): Promise<DrainResult>
  /** What workers do every minute: puts right what crashes left behind. */
  sweep(): Promise<void>
  close(): Promise<void>
}

const optionNames = [
  'database', 'services', 'service', 'models', 'secretKeyBase', 'images', 'recordId', 'staging', 'retries', 'logger', 'failed', 'tables', 'rails', 'findRecord',
]

/**
 * Wires a database, services and models into a storage. Opens nothing and starts nothing.
 * Throws ConfigurationError on wrong options.
 *
 * @example
 * const storage = createActiveStorage({
 *   database: sqlite('app.db'),
 *   services: { local: disk({ root: 'storage' }) },
 *   models: { User: { photo: hasOneAttached(), certificates: hasManyAttached() } },
 * })
 */
export function createActiveStorage<const M extends Models, S extends string, Tx, F extends boolean = false>(
  config: BaseConfig<M, S, Tx, F> & FindRecord<M, F>,
): ActiveStorage<M, Tx> {
  const wrong = (text: string): ConfigurationError => new ConfigurationError(`createActiveStorage: ${text}`)
  for (const name of Object.keys(config)) if (!optionNames.includes(name)) throw wrong(`unknown option '${name}'.`)
  const services = config.services as Readonly<Record<string, Service>>
  const names = Object.keys(services ?? {})
  const only = config.service ?? (names.length === 1 ? names[0] : undefined)
  if (names.length === 0) throw wrong('services is empty: configure at least one, such as { local: disk({ root }) }.')
  if (only === undefined) throw wrong(`there are several services (${names.join(', ')}): say with service which one new files go to.`)
  if (!names.includes(only)) throw wrong(`service is '${only}', which is not among ${names.join(', ')}.`)
  if (typeof config.database?.open !== 'function') throw wrong('database is missing: pass sqlite(…), postgres(…) or mysql(…).')
  const finders = (config as { findRecord?: Record<string, (id: string) => unknown> }).findRecord ?? {}
  const models = readModels(config.models, only, services, config, wrong)
  for (const name of Object.keys(finders)) if (!models.has(name)) throw wrong(`findRecord names the model '${name}', which is not defined.`)
  const recordId = config.recordId ?? 'bigint'
  if (!['bigint', 'uuid', 'text'].includes(recordId)) throw wrong(`recordId is '${String(recordId)}': bigint, uuid or text.`)
  const tables = tableNames(config.tables)
  if (!/^[A-Za-z_][\w]{0,40}$/.test(config.tables?.prefix ?? 'a')) throw wrong('tables.prefix must be letters, digits and underscores.')
  const expiresIn = parseDuration(config.staging?.expiresIn ?? '24h', 'staging.expiresIn')
  const retries = {
    attempts: config.retries?.attempts ?? 10,
    minDelay: parseDuration(config.retries?.minDelay ?? '5s', 'retries.minDelay'),
    maxDelay: parseDuration(config.retries?.maxDelay ?? '1h', 'retries.maxDelay'),
  }
  if (!(Number.isInteger(retries.attempts) && retries.attempts > 0)) throw wrong('retries.attempts must be a whole number above 0.')
  const failedKeepFor = config.failed?.keepFor === undefined ? null : parseDuration(config.failed.keepFor, 'failed.keepFor')
  const report = reporter(config.logger)

  let opened: Promise<Store<Tx>> | undefined
  const typedStore = (): Promise<Store<Tx>> => {
    opened ??= openStore<Tx>(config.database, tables, recordId).catch((error: unknown) => {
      opened = undefined
      throw error
    })
    return opened
  }
  const store = typedStore as () => Promise<Store>
  const channel = `activestorage_delayed_${createHash('sha256').update(tables.files).digest('hex').slice(0, 12)}`
  const wakers = new Set<() => void>()
  const wake = (): void => {
    for (const each of wakers) each()
  }
  const verifier = messageVerifier({
    secrets: () => secrets(config.secretKeyBase),
    ...(config.rails?.keyDigest === undefined ? {} : { keyDigest: config.rails.keyDigest }),
    ...(config.rails?.envelope === undefined ? {} : { envelope: config.rails.envelope }),
  })
  const definitionOf = (type: string, name: string): SlotDefinition | undefined => models.get(type)?.get(name)
  const findRecord = async (type: string, id: string): Promise<unknown> => {
    const finder = finders[type]
    return finder === undefined ? { type, id } : ((await finder(id)) ?? null)
  }
  const context: SlotContext = {
    store,
    services,
    verifier,
    expiresIn,
    findRecord,
    wake,
    kindOf: (lane) => definitionOf(lane.type, lane.name)?.kind ?? 'many',
    notify: async (session) => {
      if (session.dialect === 'postgres') await sql`select pg_notify(${channel}, '')`.execute(session.db)
    },
  }
  attachHooks(models, context)
  const known = [...models].flatMap(([type, attachments]) => [...attachments.keys()].map((name) => ({ type, name })))
  const delayedRoom = async (): Promise<Delayed> => ({
    store: await store(), services, images: config.images, retries, expiresIn, definition: definitionOf, known, findRecord, report,
  })

  /** One set of sources for each worker or drain: it has its own leases. */
  const sources = (tally: (result: RunResult) => void): Source[] => {
    let room: Promise<{ delayed: Delayed; leases: ReturnType<typeof createLeases> }> | undefined
    const ready = () =>
      (room ??= delayedRoom()
        .then((delayed) => ({ delayed, leases: createLeases(delayed.store, report) }))
        .catch((error: unknown) => {
          room = undefined
          throw error
        }))
    return [
      {
        name: 'uploads',
        claim: async (limit) => {
          const { delayed, leases } = await ready()
          const uploads = await claimUploads(delayed, limit)
          return uploads.map((upload) => ({ run: async (stopping) => tally(await runUpload(delayed, leases, upload, stopping)) }))
        },
      },
      {
        name: 'hooks',
        claim: async (limit) => {
          const { delayed, leases } = await ready()
          const uploads = await claimHooks(delayed, limit)
          return uploads.map((upload) => ({ run: () => runHooks(delayed, leases, upload) }))
        },
      },
      jobSource(
        store,
        {
          purge: async (job) => {
            await (await store()).transact((session) => purgeBlob(session, job.arguments['blob'] ?? ''))
            wake()
            return null
          },
          'delete-object': (job, signal) => deleteObject(store, services, job, signal),
        },
        (job, error) => report('warn', `The job ${job.name} failed and is tried again.`, { job: job.id, attempt: job.attempts, error }),
      ),
    ]
  }
  const engine = (tally: (result: RunResult) => void, concurrency: number | undefined) => {
    const slots = concurrency ?? 5
    if (!(Number.isInteger(slots) && slots > 0)) throw new ConfigurationError('concurrency must be a whole number above 0.')
    return {
      sources: sources(tally),
      concurrency: slots,
      sweep: async () => sweep(await store(), retries.attempts, failedKeepFor),
      onError: (message: string, error: unknown) => report('error', message, { error }),
    }
  }

  const open = new Set<{ stop(): Promise<void> }>()
  const model = (name: string): ReadonlyMap<string, SlotDefinition> => {
    const found = models.get(name)
    if (found === undefined) throw new UnknownAttachmentError(`There is no model '${name}'; there are ${[...models.keys()].join(', ')}.`)
    return found
  }
  const record = (name: string, id: Id, options: InTransaction<Tx> = {}) => {
    const { transaction } = options
    return recordHandle({
      context,
      type: name,
      id: canonicalId(id, recordId, name),
      definitions: model(name),
      session: transaction === undefined ? null : async () => (await typedStore()).join(transaction),
    })
  }
  const uploadById = async (id: string): Promise<DelayedUpload | null> => {
    const { session } = await store()
    const row = await findUpload(session, id)
    return row === null || row.state === 'attached' ? null : uploadValue(context, row, await filesOf(session, [row.token]), null)
  }
  const blobById = async (id: string): Promise<StoredBlob | null> => {
    if (!/^\d{1,19}$/.test(id)) throw new InvalidInputError(`${JSON.stringify(id.slice(0, 50))} is no blob id.`)
    const row = await findBlob((await store()).session, { id })
    return row === null ? null : blobValue(context, row)
  }

  const close = async (): Promise<void> => {
    await Promise.all([...open].map((worker) => worker.stop()))
    if (opened !== undefined) await opened.catch(() => undefined)
    await config.database.close()
    opened = undefined
  }

  return {
    async migrate() {
      const { dialect, session, database } = await store()
      await migrate({
        dialect, tables, recordId,
        executor: session.executor,
        transaction: (run) => database.transaction(({ executor }) => run(executor)),
        isTransient: (error) => database.isTransient(error),
      })
    },
    async transaction(run) {
      const { database } = await typedStore()
      const result = await database.transaction(({ tx }) => run(tx))
      wake()
      return result
    },
    record: record as ActiveStorage<M, Tx>['record'],
    records: (async (name: string, ids: readonly Id[], options?: InTransaction<Tx>) =>
      ids.map((id) => record(name, id, options))) as ActiveStorage<M, Tx>['records'],
    async stage(file, options = {}) {
      const [type, name] = options.for?.split('.') ?? []
      const definition = type === undefined || name === undefined ? undefined : model(type).get(name)
      if (options.for !== undefined && definition === undefined) throw new UnknownAttachmentError(`There is no attachment '${options.for}'.`)
      const details = name === undefined ? {} : { attachment: name }
      const input = readAttachable(file, details)
      if (input === null || input.kind === 'signed') throw new InvalidInputError('stage takes a file with bytes; this is blank, or staged already.', { details })
      const { session, database } = await store()
      const row = await stageFile(session, input.file, {
        expiresIn,
        details,
        parallel: database.parallel,
        limits: definition?.limits ?? { maxSize: config.staging?.maxSize === undefined ? undefined : parseSize(config.staging.maxSize, 'staging.maxSize') },
        signal: options.signal,
      })
      const signedId = verifier.generate(row.id, { purpose: PURPOSE.staged, expiresAt: new Date(row.expiresAt) })
      return new StagedFile(row, signedId, async () => {
        await dropUnlinked((await store()).session, row.id)
      })
    },
    delayedUploads: {
      find: uploadById,
      async findSigned(signedId) {
        const found = verifier.verify(signedId, { purpose: PURPOSE.upload })
        return found === null || 'expired' in found ? null : uploadById(String(found.value))
      },
      async list(filter = {}) {
        const { session } = await store()
        let query = selectUploads(session)
        query = filter.state === undefined ? query.where('u.state', '!=', 'attached') : query.where('u.state', '=', filter.state)
        if (filter.model !== undefined) query = query.where('u.uploadable_type', '=', filter.model)
        if (filter.after !== undefined) {
          const after = await findUpload(session, filter.after)
          if (after !== null) query = query.where('u.id', '>', BigInt(after.rowId))
        }
        const rows = await fetchUploads(query.orderBy('u.id').limit(filter.limit ?? 100))
        const files = await filesOf(session, rows.map((row) => row.token))
        return rows.map((row) => uploadValue(context, row, files.filter((file) => file.uploadToken === row.token), null))
      },
      stats: async () => uploadStats(await store()),
    },
    blobs: {
      find: (id) => blobById(String(id)),
      async findSigned(signedId) {
        const found = verifier.verify(signedId, { purpose: PURPOSE.blob })
        return found === null || 'expired' in found ? null : blobById(String(found.value))
      },
      async createAndUpload(file, options = {}) {
        const serviceName = options.service ?? only
        const service = services[serviceName]
        if (service === undefined) throw new ConfigurationError(`There is no service '${serviceName}'.`)
        const input = readAttachable(file, {})
        if (input === null || input.kind === 'signed') throw new InvalidInputError('createAndUpload takes a file with bytes.')
        const { session, transact } = await store()
        const blob = await storeObject(session, input.file, {
          serviceName, service, keyPrefix: undefined, checkSize: () => undefined, checkType: () => undefined,
        })
        const row = await transact(async (tx) => {
          const inserted = await insertBlob(tx, blob)
          if (!(await keepObject(tx, blob.key))) throw new StagedFileExpiredError('The upload took too long and is being cleaned up. Send it again.')
          return inserted
        })
        return blobValue(context, row)
      },
    },
    work(options = {}) {
      let unlisten: Promise<() => Promise<void>> | undefined
      const worker = startWorker({
        ...engine(() => undefined, options.concurrency),
        pollEvery: () => (unlisten === undefined ? 2_000 : 30_000),
        wakes: {
          subscribe: (woken) => {
            wakers.add(woken)
            unlisten = config.database.listen?.(channel, woken)
            unlisten?.catch((error: unknown) => {
              unlisten = undefined
              report('warn', 'Notifications are not available; the worker polls.', { error })
            })
            return () => wakers.delete(woken)
          },
        },
      })
      const stop = async ({ timeout }: { readonly timeout?: Duration } = {}): Promise<void> => {
        open.delete(handle)
        await worker.stop(timeout === undefined ? {} : { timeout: parseDuration(timeout, 'timeout') })
        const end = await unlisten?.catch(() => undefined)
        await end?.()
      }
      const handle: Worker = { stop, done: worker.done, [Symbol.asyncDispose]: () => stop() }
      open.add(handle)
      options.signal?.addEventListener('abort', () => void stop(), { once: true })
      return handle
    },
    async drain(options = {}) {
      const count = { uploaded: 0, retried: 0, failed: 0 }
      let first: ActiveStorageError | undefined
      const signals = [options.signal, options.timeout === undefined ? undefined : AbortSignal.timeout(parseDuration(options.timeout, 'timeout'))]
      await drainSources(
        engine(({ outcome, error }) => {
          if (outcome in count) count[outcome as keyof typeof count] += 1
          first ??= error
        }, options.concurrency),
        AbortSignal.any(signals.filter((signal) => signal !== undefined)),
      )
      if (options.throwOnError === true && first !== undefined) throw first
      const { pending, running } = await uploadStats(await store())
      return { ...count, remaining: pending + running }
    },
    sweep: async () => sweep(await store(), retries.attempts, failedKeepFor),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Deletes an object whose blob is gone or was never written; never one that a blob or a living upload holds. */
async function deleteObject(store: () => Promise<Store>, services: Readonly<Record<string, Service>>, job: JobRow, signal: AbortSignal): Promise<number | null> {
  const { service = '', key = '' } = job.arguments
  const { session } = await store()
  if (await blobKeyExists(session, key)) return null
  const holder = await session.db
    .selectFrom('files as f')
    .innerJoin('uploads as u', 'u.token', 'f.upload_token')
    .select('f.id')
    .where('f.blob_key', '=', key)
    .where('f.state', 'in', ['staged', 'failed'])
    .where('u.state', 'in', ['pending', 'running', 'failed'])
    .executeTakeFirst()
  if (holder !== undefined) return 3_600_000
  const target = services[service]
  if (target === undefined) throw new ConfigurationError(`An object waits to be deleted from the service '${service}', which is not configured.`)
  await target.delete(key, { signal })
  return null
}

function secrets(given: string | readonly string[] | undefined): readonly string[] {
  const list = given ?? process.env['SECRET_KEY_BASE']
  const all = typeof list === 'string' ? [list] : (list ?? [])
  if (all.length === 0 || all.some((secret) => secret === ''))
    throw new ConfigurationError('No secret to sign ids with: set SECRET_KEY_BASE in the environment, or pass secretKeyBase.')
  return all
}

function reporter(logger: Logger | false | undefined): Report {
  if (logger === false) return () => undefined
  if (logger !== undefined) return (level, message, details) => logger[level](message, details)
  return (level, message, details) => {
    if (level === 'warn' || level === 'error') console[level](`activestorage-delayed: ${message}`, details)
  }
}

type Settings = { readonly staging?: { readonly maxSize?: Size; readonly maxFiles?: number }; readonly images?: ImageProcessor }

function readModels(
  given: Models,
  service: string,
  services: Readonly<Record<string, Service>>,
  { staging, images }: Settings,
  wrong: (text: string) => ConfigurationError,
): Map<string, Map<string, SlotDefinition>> {
  const models = new Map<string, Map<string, SlotDefinition>>()
  for (const [type, attachments] of Object.entries(given ?? {})) {
    const slots = new Map<string, SlotDefinition>()
    for (const [name, definition] of Object.entries(attachments)) {
      const options = optionsOf(definition)
      const where = `${type}.${name}`
      if (options === null) throw wrong(`${where} is not made by hasOneAttached or hasManyAttached.`)
      if (RESERVED.includes(name) || name.includes('.')) throw wrong(`${where}: '${name}' is a reserved name; choose another.`)
      if (options.service !== undefined && services[options.service] === undefined)
        throw wrong(`${where} goes to the service '${options.service}', which is not among ${Object.keys(services).join(', ')}.`)
      if (options.variantInfo !== undefined && images === undefined) throw wrong(`${where} has variantInfo: pass images: sharp().`)
      const maxSize = options.maxSize ?? staging?.maxSize
      slots.set(name, {
        kind: definition.kind,
        service: options.service ?? service,
        keyPrefix: options.keyPrefix as SlotDefinition['keyPrefix'],
        useFilename: (options.useFilename ?? false) as SlotDefinition['useFilename'],
        variantInfo: options.variantInfo,
        maxFiles: options.maxFiles ?? staging?.maxFiles,
        required: options.required ?? false,
        limits: { maxSize: maxSize === undefined ? undefined : parseSize(maxSize, `maxSize of ${where}`), accept: options.accept },
      })
      hooks.set(slots.get(name)!, options)
    }
    models.set(type, slots)
  }
  if (models.size === 0) throw wrong('models is empty: define at least one, such as { User: { photo: hasOneAttached() } }.')
  return models
}

const hooks = new WeakMap<SlotDefinition, NonNullable<ReturnType<typeof optionsOf>>>()

/** The room below tells hooks in rows; here they become the values an app sees. */
function attachHooks(models: ReadonlyMap<string, Map<string, SlotDefinition>>, context: SlotContext): void {
  const fileOf = ({ file, attachment }: Told) => ({
    filename: file.sentFilename ?? file.filename,
    contentType: file.sentType ?? file.contentType,
    byteSize: file.sentSize ?? file.byteSize,
    key: file.blobKey,
    attachment: attachment === null ? null : attachmentValue(context, attachment, null),
  })
  const contextOf = async ({ upload, attempt, retryAt }: Omit<Told, 'file'>) => {
    const { session } = await context.store()
    return { upload: uploadValue(context, upload, await filesOf(session, [upload.token]), null), attempt, retryAt }
  }
  for (const slots of models.values())
    for (const [name, definition] of slots) {
      const { afterUpload, afterUploadAll, errorUpload } = hooks.get(definition) ?? {}
      slots.set(name, {
        ...definition,
        afterUpload: afterUpload && (async (record, told) => afterUpload(record as never, fileOf(told), await contextOf(told))),
        afterUploadAll: afterUploadAll && (async (record, told) => afterUploadAll(record as never, await contextOf(told))),
        errorUpload: errorUpload && (async (record, error, told) => {
          const [now] = await findFiles((await context.store()).session, [told.file.id])
          await errorUpload(record as never, error, fileOf({ ...told, file: now ?? told.file }), await contextOf(told))
        }),
      })
    }
}
