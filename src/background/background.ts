import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import type { Outages } from '../delayed/concurrency-limits.ts'
import { DirectAttaches } from '../delayed/direct-attaches.ts'
import type { SweepResult } from '../delayed/sweep.ts'
import { checkOptions } from '../options/check-options.ts'
import { parseDuration } from '../options/units.ts'
import { drain, type DrainOptions, type DrainResult } from './drain.ts'
import type { BackgroundParts } from './parts.ts'
import { sweepEverything } from './sweep-everything.ts'
import { createWork, wakeForRetry } from './work.ts'
import {
  DEFAULT_STOP_TIMEOUT,
  startBackgroundWorker,
  type Worker,
  type WorkerOptions,
} from './worker.ts'

/** The background work of a storage. Nothing starts before it is called. */
export interface Background {
  /** Uploads of files that were attached directly, inside a transaction. */
  readonly directAttaches: DirectAttaches
  /** Services that are unavailable, as this process saw them. */
  readonly outages: Outages
  work(options?: WorkerOptions): Worker
  drain(options?: DrainOptions): Promise<DrainResult>
  sweep(): Promise<SweepResult>
  /** Stops the workers and the direct attaches. */
  stop(): Promise<void>
}

/** Makes the background of one storage. */
export function createBackground(
  given: Omit<BackgroundParts, 'outages' | 'endListeners'>,
): Background {
  const { settings, wakeUps } = given
  const outages: Outages = new Map()
  const endListeners = new Set<() => void>()
  const parts: BackgroundParts = { ...given, outages, endListeners }
  const workers = new Set<Worker>()
  const own = createWork(parts, {
    limits: { total: Infinity, forService: () => Infinity },
    queue: null,
    tally(result) {
      wakeForRetry(wakeUps, result)
      // A worker purges the blobs that the upload replaced.
      wakeUps.wake()
    },
  })
  const directAttaches = new DirectAttaches({
    open: () => parts.open(),
    runOne: (token, stopping) => own.runOne(token, stopping),
    endListeners,
    wait: settings.directWait,
    log: settings.log,
  })
  return {
    directAttaches,
    outages,
    work(options = {}) {
      checkOptions(options, ['concurrency', 'signal'], 'work')
      const worker = startBackgroundWorker(parts, options)
      workers.add(worker)
      void worker.done.then(() => workers.delete(worker))
      return worker
    },
    async drain(options = {}) {
      checkOptions(options, ['concurrency', 'signal', 'timeout', 'throwOnError'], 'drain')
      return drain(parts, options)
    },
    async sweep() {
      const swept = await sweepEverything(parts)
      await wakeUps.messages?.waitForSends()
      return swept
    },
    async stop() {
      await Promise.all([
        directAttaches.stop(parseDuration(DEFAULT_STOP_TIMEOUT, 'timeout')),
        ...[...workers].map((worker) => worker.stop()),
      ])
      await endsWithin(own.close(), STOP_GRACE_MS)
    },
  }
}
