import type { Settings } from '../configuration.ts'
import { hintDue } from '../delayed/hint.ts'
import { sweep, type SweepResult } from '../delayed/sweep.ts'
import { moveGemRows, type GemRoom } from '../gem/move.ts'
import type { JobEngine } from '../jobs/engine.ts'

interface Everything extends Pick<GemRoom, 'store' | 'known' | 'kindOf' | 'stopping'> {
  readonly settings: Settings
  readonly engine: JobEngine | null
}

/** The gem's rows, what crashes left behind, and hints that a queue of the app's own has missed. */
export async function sweepEverything({
  store,
  known,
  kindOf,
  stopping,
  settings,
  engine,
}: Everything): Promise<SweepResult> {
  const { report, expiresIn, gemMoveAfter: moveAfter, retries, failedKeepFor: keepFor } = settings
  const malformed = await moveGemRows({
    store,
    known,
    kindOf,
    moveAfter,
    expiresIn,
    report,
    stopping,
  })
  const { failed } = await sweep(store, { attempts: retries.attempts, keepFor, report, stopping })
  if (engine !== null)
    await hintDue({ store, known }, engine).catch((error: unknown) =>
      report('warn', `${engine.name} was not told of what is due; the next sweep tells it.`, {
        error,
      }),
    )
  return { failed: [...malformed, ...failed] }
}
