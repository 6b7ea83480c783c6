import type { StorageContext } from '../attached/context.ts'
import { createBlobs } from '../attached/blobs.ts'
import type { Models } from '../attached/definitions.ts'
import { createDelayedUploads } from '../attached/delayed-uploads.ts'
import { uploadTargetPath } from '../attached/paths.ts'
import { stage } from '../attached/stage.ts'
import { createBackground, type Background } from '../background/background.ts'
import { WakeUps } from '../background/wake-ups.ts'
import type { AnyConfig, ConfigWithFinders } from '../configuration/config.ts'
import { readConfiguration } from '../configuration/configuration.ts'
import { parseForm } from '../http/forms/parse-form.ts'
import { createHandler } from '../http/handler.ts'
import { ProgressHub } from '../http/progress/hub.ts'
import type { ActiveStorage } from './active-storage.ts'
import { createDelayedContext, createStorageContext, type StorageParts } from './contexts.ts'
import { createInternals, registerInternals } from './internals.ts'
import { jobDefinitions } from './jobs.ts'
import { LazyStore } from './lazy-store.ts'
import { migrateStore } from './migrate-store.ts'
import { reconcileRecords } from './reconcile-records.ts'
import { RecordHandles, requireAttachment } from './record-handles.ts'
import { RecordLookup } from './record-lookup.ts'
import { readStatus } from './status.ts'

/**
 * Makes a storage of a database, services and models. Opens nothing and starts nothing.
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
  Finds extends boolean = false,
>(config: ConfigWithFinders<M, S, Tx, Finds>): ActiveStorage<M, Tx>
/** The implementation has no types of models and transactions, which are known to the app only. */
export function createActiveStorage(config: AnyConfig): ActiveStorage<Models, unknown> {
  const settings = readConfiguration(config)
  const lookup = new RecordLookup(settings)
  const store = new LazyStore(settings, () => lookup.checkSources())
  const wakeUps = new WakeUps(settings, store.open)
  const parts: StorageParts = { settings, store, lookup, wakeUps }
  const { background, context } = createBackgroundAndContext(parts)
  const handles = new RecordHandles(parts, context, background.directAttaches)
  const unregisterModels = handles.registerModels()
  const delayedUploads = createDelayedUploads(context)
  const hub = new ProgressHub(context)
  wakeUps.subscribe(() => hub.refresh())

  const pathTo = (route: 'direct_uploads' | 'staged_files', attachment: string): string => {
    requireAttachment(settings, attachment)
    return uploadTargetPath(context, route, attachment)
  }
  const close = async (): Promise<void> => {
    unregisterModels()
    hub.close()
    await background.stop()
    await wakeUps.close()
    await store.close()
    await settings.database.close()
  }
  const storage: ActiveStorage<Models, unknown> = {
    migrate: async () => migrateStore(await store.open()),
    async transaction(run) {
      await store.open()
      return handles.transactions.run(run)
    },
    record: (model, id, options = {}) => handles.find(model, id, options),
    records: (model, ids, options = {}) => handles.list(model, ids, options),
    stage: (file, options = {}) => stage(context, file, options),
    parseForm: (request, options) => parseForm(context, request, options),
    handler: createHandler(context, hub),
    basePath: settings.basePath,
    directUploadPath: (attachment) => pathTo('direct_uploads', attachment),
    stagedUploadPath: (attachment) => pathTo('staged_files', attachment),
    delayedUploads,
    blobs: createBlobs(context),
    work: background.work,
    drain: background.drain,
    sweep: async () => void (await background.sweep()),
    reconcile: (options) => reconcileRecords(parts, handles, options),
    status: () => readStatus(parts, delayedUploads, background.outages),
    close,
    [Symbol.asyncDispose]: close,
  }
  registerInternals(storage, createInternals(parts))
  return storage
}

/**
 * Creates the two parts that need each other: the background makes the values for hooks with the
 * context, and the context waits for direct attaches of the background.
 */
function createBackgroundAndContext(parts: StorageParts): {
  readonly background: Background
  readonly context: StorageContext
} {
  const background = createBackground({
    settings: parts.settings,
    wakeUps: parts.wakeUps,
    jobs: jobDefinitions,
    // Called when work begins; `context` has its value by then.
    open: () => createDelayedContext(parts, context),
  })
  const context = createStorageContext(parts, background.directAttaches)
  return { background, context }
}
