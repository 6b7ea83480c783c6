import { adaptHooks } from '../attached/hooks.ts'
import type { StorageContext } from '../attached/context.ts'
import type { WakeUps } from '../background/wake-ups.ts'
import type { Settings } from '../configuration/configuration.ts'
import { toKind } from '../configuration/models.ts'
import type { DelayedContext } from '../delayed/context.ts'
import { deleteObjectsNow } from '../delayed/delete-object.ts'
import type { DirectAttaches } from '../delayed/direct-attaches.ts'
import { logSuperseded } from '../delayed/log-superseded.ts'
import { withHookMethods } from '../orm/hook-methods.ts'
import type { LazyStore } from './lazy-store.ts'
import type { RecordLookup } from './record-lookup.ts'

/** The parts of one storage that its contexts are made of. */
export interface StorageParts {
  readonly settings: Settings
  readonly store: LazyStore
  readonly lookup: RecordLookup
  readonly wakeUps: WakeUps
}

/** Creates the context of record handles and HTTP routes. */
export function createStorageContext(
  { settings, store, lookup, wakeUps }: StorageParts,
  directAttaches: DirectAttaches,
): StorageContext {
  const { services, log, models } = settings
  return {
    store: store.open,
    services,
    models,
    verifier: settings.verifier,
    basePath: settings.basePath,
    expiresIn: settings.expiresIn,
    maxSize: settings.maxSize,
    defaultService: settings.service,
    authorize: settings.authorize,
    afterRefusal: settings.afterRefusal,
    log,
    findRecord: (type, id) => lookup.find(type, id),
    touch: (type, id) => lookup.touch(type, id),
    kindOf: (lane) => toKind(models, lane),
    wake: wakeUps.wake,
    notifyWorkers: (session, tokens) => wakeUps.notifyWorkers(session, tokens),
    logSuperseded(uploads) {
      for (const upload of uploads)
        logSuperseded(log, upload, 'An upload was superseded by a direct change.')
    },
    waitUntilAttached: (uploads, options) => directAttaches.waitUntilAttached(uploads, options),
    deleteObjectsNow: async (keys, signal) =>
      deleteObjectsNow(await store.open(), services, keys, log, signal),
  }
}

/** Creates the context of workers. Opens the database. */
export async function createDelayedContext(
  { settings, store, lookup, wakeUps }: StorageParts,
  context: StorageContext,
): Promise<DelayedContext> {
  const { models, services, images, retries, expiresIn, knownAttachments, log } = settings
  return {
    store: await store.open(),
    services,
    images,
    retries,
    expiresIn,
    messages: wakeUps.messages,
    knownAttachments,
    log,
    findDefinition(type, name) {
      const definition = models.get(type)?.get(name)
      return definition === undefined
        ? undefined
        : adaptHooks(withHookMethods(definition, name, lookup.source(type)), context)
    },
    findRecord: (type, id) => lookup.find(type, id),
    touch: (type, id) => lookup.touch(type, id),
  }
}
