import type { AttachmentDefinition, StorageContext } from '../attached/context.ts'
import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { createBlobs } from '../attached/blobs.ts'
import { createDelayedUploads } from '../attached/delayed-uploads.ts'
import type { Models } from '../attached/definitions.ts'
import { adaptHooks } from '../attached/hooks.ts'
import { preloadRecords } from '../attached/queries.ts'
import { reconcile } from '../attached/reconcile.ts'
import { purgeAllLater, createRecordHandle, type RecordScope } from '../attached/record.ts'
import type { RowCache } from '../attached/scope.ts'
import { uploadTargetPath } from '../attached/paths.ts'
import { stage, stageInput } from '../attached/stage.ts'
import { canonicalizeId } from '../attachments/lane.ts'
import { createBackground } from '../background/background.ts'
import { readConfiguration, type ConfigWithFinders } from '../configuration/configuration.ts'
import type { RecordSource } from '../database/database.ts'
import { migrate, createDialectSchema } from '../database/migrate.ts'
import { openStore, type Store } from '../database/store.ts'
import type { DelayedContext } from '../delayed/context.ts'
import { deleteObjectsNow } from '../delayed/delete-object.ts'
import type { SubmittedUpload } from '../delayed/direct-uploads.ts'
import { enqueueDue, enqueueUpload } from '../delayed/enqueue.ts'
import type { SweepResult } from '../delayed/sweep.ts'
import { logSuperseded } from '../delayed/log-superseded.ts'
import { countSweepableAndGemRows } from '../gem/count-sweepable.ts'
import { createHandler } from '../http/handler.ts'
import { parseForm, type ParsedForm } from '../http/forms/parse-form.ts'
import { createProgressHub } from '../http/progress/hub.ts'
import { registerModel } from '../orm/model-registry.ts'
import { withHookMethods } from '../orm/hook-methods.ts'
import { ConfigurationError, InvalidInputError, UnknownAttachmentError } from '../errors/errors.ts'
import { formatList, formatValue } from '../errors/message.ts'
import { registerInternals } from './internals.ts'
import { listUsedServices } from '../configuration/models.ts'
import type { ActiveStorage, TransactionOption } from './active-storage.ts'
import { sweepEverything } from '../background/sweep-everything.ts'
import { createAppTransactions } from '../database/app-transactions.ts'
import { parseDuration } from '../options/units.ts'

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
export function createActiveStorage<
  const M extends Models,
  S extends string,
  Tx,
  F extends boolean = false,
>(config: ConfigWithFinders<M, S, Tx, F>): ActiveStorage<M, Tx> {
  const settings = readConfiguration(config as never)
  const { models, recordId, tables, services, log: report } = settings
  const engine = config.jobs ?? null

  let opened: Promise<Store<Tx>> | undefined
  let closed = false
  const typedStore = (): Promise<Store<Tx>> => {
    if (closed)
      return Promise.reject(
        new ConfigurationError('This storage was closed: nothing can be done with it any more.'),
      )
    opened ??= openStore<Tx>(config.database, tables, recordId)
      // Classes that cannot be told apart are told at once.
      .then((open) => (Object.keys(config.models).forEach(sourceOf), open))
      .catch((error: unknown) => {
        opened = undefined
        throw error
      })
    return opened
  }
  const store = typedStore as () => Promise<Store>

  const channel = `activestorage_delayed_${createHash('sha256').update(tables.files).digest('hex').slice(0, 12)}`
  const known = [...models].flatMap(([type, attachments]) =>
    [...attachments.keys()].map((name) => ({ type, name })),
  )
  const wakers = new Set<() => void>()
  const hinting = new Set<Promise<void>>()
  const wake = (): void => {
    for (const each of wakers) each()
    if (closed || engine === null || engine.transactional) return
    const hinted = store()
      .then((open) => enqueueDue({ store: open, knownAttachments: known }, engine))
      .catch((error: unknown) =>
        report('warn', `${engine.name} was not told of new work; the next sweep tells it.`, {
          error,
        }),
      )
      .finally(() => hinting.delete(hinted))
    hinting.add(hinted)
  }
  const definitionOf = (type: string, name: string): AttachmentDefinition | undefined =>
    models.get(type)?.get(name)
  /** The ORM's, where it has a class with the model's attachments. */
  const sourceOf = (type: string): RecordSource | null =>
    config.database.records?.((config.models as Models)[type] ?? {}) ?? null
  const findRecord = async (type: string, id: string): Promise<unknown> =>
    settings.hasFinder(type)
      ? settings.findRecord(type, id)
      : (sourceOf(type)?.find(id) ?? { type, id })
  const touch = async (type: string, id: string): Promise<void> => {
    try {
      await sourceOf(type)?.touch?.(id)
    } catch (error) {
      report('warn', `${type} ${id} could not be touched.`, { record: { type, id }, error })
    }
  }
  const context: StorageContext = {
    store,
    services,
    models,
    defaultService: settings.service,
    maxSize: settings.maxSize,
    authorize: settings.authorize,
    afterRefusal: settings.afterRefusal,
    verifier: settings.verifier,
    basePath: settings.basePath,
    expiresIn: settings.expiresIn,
    findRecord,
    touch,
    wake,
    log: report,
    kindOf: (lane) => definitionOf(lane.type, lane.name)?.kind ?? 'many',
    async announce(session, tokens) {
      if (engine?.transactional === true)
        for (const token of tokens) await enqueueUpload(session, engine, token)
      if (engine !== null || tokens.length === 0) return
      if (config.database.listen !== undefined)
        await sql`select pg_notify(${channel}, '')`.execute(session.db)
    },
    logSuperseded: (uploads) => {
      for (const upload of uploads)
        logSuperseded(report, upload, 'An upload was superseded by a direct change.')
    },
    finish: (...given) => direct.finish(...given),
    deleteObjectsNow: async (keys) => deleteObjectsNow(await store(), services, keys, report),
  }
  const delayedRoom = async (): Promise<DelayedContext> => ({
    store: await store(),
    services,
    images: config.images,
    retries: settings.retries,
    expiresIn: settings.expiresIn,
    engine,
    knownAttachments: known,
    findDefinition: (type, name) => {
      const definition = definitionOf(type, name)
      return definition === undefined
        ? undefined
        : adaptHooks(withHookMethods(definition, name, sourceOf(type)), context)
    },
    findRecord,
    touch,
    log: report,
  })

  const sweepAll = async (stopping?: AbortSignal): Promise<SweepResult> =>
    sweepEverything({
      store: await store(),
      knownAttachments: known,
      kindOf: context.kindOf,
      settings,
      engine,
      stopping,
    })
  const { work, drain, stopAll, direct } = createBackground({
    ready: delayedRoom,
    database: config.database,
    channel,
    wakers,
    wake,
    sweep: sweepAll,
    report,
    engine,
    waiting: settings.directWait,
    services: { all: Object.keys(services), used: listUsedServices(models) },
  })

  const model = (name: string): ReadonlyMap<string, AttachmentDefinition> => {
    const found = models.get(name)
    if (found === undefined)
      throw new UnknownAttachmentError(
        `There is no model ${formatValue(name)}; there are ${formatList([...models.keys()])}.`,
      )
    return found
  }
  const committing = createAppTransactions<Tx>(config.database, wake)
  const scopeOf = (
    name: string,
    id: string,
    { transaction }: TransactionOption<Tx>,
    loaded: RowCache = { current: null },
    submitted?: (upload: SubmittedUpload) => void,
  ): RecordScope => ({
    context,
    type: name,
    id,
    definitions: model(name),
    session: transaction === undefined ? null : async () => (await typedStore()).join(transaction),
    wakeAtCommit: () => {
      if (transaction !== undefined) config.database.afterCommit?.(transaction, wake)
    },
    startAtCommit: (upload) => {
      submitted?.(upload)
      if (transaction !== undefined)
        committing.afterCommit(transaction, () => direct.start(upload.token))
    },
    loaded,
  })
  const handleOf = (...given: Parameters<typeof scopeOf>) => createRecordHandle(scopeOf(...given))

  const loadAll = async (
    name: string,
    ids: readonly string[],
    { transaction }: TransactionOption<Tx>,
  ): Promise<RowCache[]> => {
    const opened = await typedStore()
    const session = transaction === undefined ? opened.session : opened.join(transaction)
    return preloadRecords(session, name, ids)
  }

  const within = (transaction: unknown): TransactionOption<Tx> =>
    transaction === undefined ? {} : { transaction: transaction as Tx }
  const unbind = Object.entries(config.models as Models).map(([name, attachments]) =>
    registerModel(attachments, {
      type: name,
      definitions: model(name),
      record: (id, transaction, loaded, submitted) =>
        handleOf(name, canonicalizeId(id, recordId, name), within(transaction), loaded, submitted),
      finish: direct.finishSaved,
      load: (ids, transaction) =>
        loadAll(
          name,
          ids.map((id) => canonicalizeId(id, recordId, name)),
          within(transaction),
        ),
      stage: (slot, input) => stageInput(context, model(name).get(slot)!, slot, input),
    }),
  )

  const hub = createProgressHub(context)
  wakers.add(() => hub.refresh())
  const pathTo = (route: 'direct_uploads' | 'staged_files', slot: string): string => {
    if (!known.some(({ type, name }) => `${type}.${name}` === slot))
      throw new UnknownAttachmentError(`There is no attachment ${formatValue(slot)}.`)
    return uploadTargetPath(context, route, slot)
  }

  const close = async (): Promise<void> => {
    for (const end of unbind) end()
    hub.close()
    await stopAll()
    await Promise.all(hinting)
    if (opened !== undefined) await opened.catch(() => undefined)
    closed = true
    await config.database.close()
  }

  const storage: ActiveStorage<Models, Tx> = {
    async migrate() {
      const { dialect, session, database } = await store()
      await migrate({
        dialect,
        tables,
        recordId,
        executor: session.executor,
        transaction: (run) => database.transaction(({ executor }) => run(executor)),
        isTransient: (error) => database.isTransient(error),
      })
    },
    async transaction(run) {
      await typedStore()
      return committing.run(run)
    },
    record: (name, id, given = {}) => (
      model(name),
      handleOf(name, canonicalizeId(id, recordId, name), given)
    ),
    async records(name, given, inTransaction = {}) {
      model(name)
      if (!Array.isArray(given))
        throw new InvalidInputError(
          `records of ${name} takes a list of ids: this is ${formatValue(given)}.`,
        )
      const ids = given.map((id) => canonicalizeId(id, recordId, name))
      const loaded = await loadAll(name, ids, inTransaction)
      return ids.map((id, index) => handleOf(name, id, inTransaction, loaded[index]))
    },
    stage: (file, given = {}) => stage(context, file, given),
    parseForm: (request, options) =>
      parseForm(context, request, options) as Promise<ParsedForm<never>>,
    handler: createHandler(context, hub),
    basePath: settings.basePath,
    directUploadPath: (slot) => pathTo('direct_uploads', slot),
    stagedUploadPath: (slot) => pathTo('staged_files', slot),
    delayedUploads: createDelayedUploads(context),
    blobs: createBlobs(context),
    work,
    drain,
    sweep: async () => void (await sweepAll()),
    async reconcile({ dryRun = false, olderThan = '1h' } = {}) {
      const types = [...models.keys()]
      const blind = types.find((type) => !settings.hasFinder(type) && sourceOf(type) === null)
      if (blind !== undefined)
        throw new ConfigurationError(
          `reconcile: records of ${blind} cannot be looked up. Give findRecord.${blind}, or bind the ORM's class with these attachments.`,
        )
      const { session } = await store()
      return reconcile({
        session,
        types,
        dryRun,
        olderThan: parseDuration(olderThan, 'olderThan'),
        exists: async (type, id) => ((await findRecord(type, id)) ?? null) !== null,
        purge: (type, id, isYoung) => purgeAllLater(scopeOf(type, id, {}), isYoung),
      })
    },
    close,
    [Symbol.asyncDispose]: close,
  }
  registerInternals(storage, {
    openStore: store,
    hasAttachment: (slot) => known.some(({ type, name }) => `${type}.${name}` === slot),
    readSchema: (dialect) => createDialectSchema(dialect, tables, recordId),
    sweepable: async () =>
      countSweepableAndGemRows((await store()).session, { knownAttachments: known, ...settings }),
  })
  return storage as unknown as ActiveStorage<M, Tx>
}
