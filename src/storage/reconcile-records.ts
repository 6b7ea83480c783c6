import { reconcile, type ReconcileOptions, type ReconcileResult } from '../attached/reconcile.ts'
import { purgeAllLater } from '../attached/purge-all-later.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { parseDuration } from '../options/units.ts'
import type { StorageParts } from './contexts.ts'
import type { RecordHandles } from './record-handles.ts'

/**
 * Runs `storage.reconcile` over all models. Throws ConfigurationError for a model whose records
 * cannot be looked up.
 */
export async function reconcileRecords(
  { settings, store, lookup }: StorageParts,
  handles: RecordHandles,
  { dryRun = false, olderThan = '1h', signal }: ReconcileOptions = {},
): Promise<ReconcileResult> {
  const types = [...settings.models.keys()]
  const unknown = types.find((type) => !lookup.canFind(type))
  if (unknown !== undefined)
    throw new ConfigurationError(
      `reconcile: records of ${unknown} cannot be looked up. Give findRecord.${unknown}, or bind the ORM's class with these attachments.`,
    )
  const { session } = await store.open()
  return reconcile({
    session,
    types,
    dryRun,
    signal,
    olderThan: parseDuration(olderThan, 'olderThan'),
    exists: async (type, id) => ((await lookup.find(type, id)) ?? null) !== null,
    purge: (type, id, keepIf) => purgeAllLater(handles.scope(type, id, {}), { keepIf }),
  })
}
