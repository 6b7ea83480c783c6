import type { Settings } from '../configuration/configuration.ts'
import { enqueueDue } from '../delayed/enqueue.ts'
import { sweep, type SweepResult } from '../delayed/sweep.ts'
import { moveGemRows, type MoveGemRowsOptions } from '../gem/move-gem-rows.ts'
import type { JobEngine } from '../jobs/engine.ts'

interface SweepEverythingOptions extends Pick<
  MoveGemRowsOptions,
  'store' | 'knownAttachments' | 'kindOf' | 'stopping'
> {
  readonly settings: Settings
  readonly engine: JobEngine | null
}

/** The gem's rows, what crashes left behind, and hints that a queue of the app's own has missed. */
export async function sweepEverything({
  store,
  knownAttachments: known,
  kindOf,
  stopping,
  settings,
  engine,
}: SweepEverythingOptions): Promise<SweepResult> {
  const {
    log: report,
    expiresIn,
    gemMoveAfter: moveAfter,
    retries,
    failedKeepFor: keepFor,
  } = settings
  const malformed = await moveGemRows({
    store,
    knownAttachments: known,
    kindOf,
    moveAfter,
    expiresIn,
    log: report,
    stopping,
  })
  const { failed } = await sweep(store, {
    attempts: retries.attempts,
    keepFor,
    log: report,
    stopping,
  })
  if (engine !== null)
    await enqueueDue({ store, knownAttachments: known }, engine).catch((error: unknown) =>
      report('warn', `${engine.name} was not told of what is due; the next sweep tells it.`, {
        error,
      }),
    )
  return { failed: [...malformed, ...failed] }
}
