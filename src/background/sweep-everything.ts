import { enqueueDueOrLog } from '../delayed/enqueue.ts'
import { sweep, type SweepResult } from '../delayed/sweep.ts'
import { moveGemRows } from '../gem/move-gem-rows.ts'
import type { BackgroundParts } from './parts.ts'

/**
 * Moves the gem's rows, repairs what crashes left behind, and enqueues due uploads that the app's
 * queue does not know of.
 */
export async function sweepEverything(
  { settings, open }: BackgroundParts,
  stopping?: AbortSignal,
): Promise<SweepResult> {
  const { store } = await open()
  const { models, knownAttachments, expiresIn, log, engine } = settings
  const malformed = await moveGemRows({
    store,
    knownAttachments,
    kindOf: ({ type, name }) => models.get(type)?.get(name)?.kind ?? 'many',
    moveAfter: settings.gemMoveAfter,
    expiresIn,
    log,
    stopping,
  })
  const { failed } = await sweep(store, {
    attempts: settings.retries.attempts,
    keepFor: settings.failedKeepFor,
    log,
    stopping,
  })
  if (engine !== null) await enqueueDueOrLog({ store, knownAttachments, log }, engine)
  return { failed: [...malformed, ...failed] }
}
