import { toKind } from '../configuration/models.ts'
import { sweep, type SweepResult } from '../delayed/sweep.ts'
import { moveGemRows } from '../gem/move-gem-rows.ts'
import type { BackgroundParts } from './parts.ts'

/**
 * Moves the gem's rows and repairs what crashes left behind. Begins to send the messages of due
 * uploads that the app's queue does not know of, and does not wait for the queue.
 */
export async function sweepEverything(
  { settings, wakeUps, open }: BackgroundParts,
  stopping?: AbortSignal,
): Promise<SweepResult> {
  const { store } = await open()
  const { models, knownAttachments, expiresIn, log } = settings
  const malformed = await moveGemRows({
    store,
    knownAttachments,
    kindOf: (lane) => toKind(models, lane),
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
  void wakeUps.messages?.sendDue()
  return { failed: [...malformed, ...failed] }
}
