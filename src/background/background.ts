import { directUploads, type DirectUploads } from '../delayed/direct-uploads.ts'
import type { Outages } from '../delayed/concurrency-limits.ts'
import type { UploadResult } from '../delayed/record-outcome.ts'
import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import { checkOptions } from '../options/check-options.ts'
import { parseDuration } from '../options/units.ts'
import { drain, type DrainOptions, type DrainResult } from './drain.ts'
import type { BackgroundOptions, Running } from './options.ts'
import { createWork, wakeAt } from './work.ts'
import {
  startBackgroundWorker,
  DEFAULT_STOP_TIMEOUT,
  type Worker,
  type WorkerOptions,
} from './worker.ts'

export interface Background {
  readonly direct: DirectUploads
  work(options?: WorkerOptions): Worker
  drain(options?: DrainOptions): Promise<DrainResult>
  stopAll(): Promise<void>
}

/** What runs behind the app's back, and only when it is asked to. */
export function createBackground(given: BackgroundOptions): Background {
  const running = new Set<Worker>()
  const looks = new Set<() => void>()
  const options: Running = { ...given, ended: () => looks.forEach((look) => look()) }
  const { ready, report, waiting, wake } = options
  const outages: Outages = new Map()
  const tally = ({ dueAt }: UploadResult): void => {
    wakeAt(options, dueAt)
    // What it replaced is to be purged.
    wake()
  }
  const own = createWork(options, {
    limits: { total: Infinity, forService: () => Infinity },
    outages,
    queue: null,
    tally,
  })
  const direct = directUploads({
    ready,
    runOne: (token, stopping) => own.take(token, stopping),
    endListeners: looks,
    wait: waiting,
    log: report,
  })
  return {
    direct,
    work(given = {}) {
      checkOptions(given, ['concurrency', 'signal'], 'work')
      const worker = startBackgroundWorker(options, outages, given)
      running.add(worker)
      void worker.done.then(() => running.delete(worker))
      return worker
    },
    async drain(given = {}) {
      checkOptions(given, ['concurrency', 'signal', 'timeout', 'throwOnError'], 'drain')
      return drain(options, outages, given)
    },
    async stopAll() {
      await Promise.all([
        direct.stop(parseDuration(DEFAULT_STOP_TIMEOUT, 'timeout')),
        ...[...running].map((worker) => worker.stop()),
      ])
      await endsWithin(own.close(), STOP_GRACE_MS)
    },
  }
}
