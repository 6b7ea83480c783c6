import { directUploads, type DirectUploads } from '../delayed/direct.ts'
import type { Outages } from '../delayed/places.ts'
import type { RunResult } from '../delayed/settle.ts'
import { endsWithin, GRACE } from '../jobs/deadline.ts'
import { checkOptions } from '../options.ts'
import { parseDuration } from '../units.ts'
import { drain, type DrainOptions, type DrainResult } from './drain.ts'
import type { BackgroundOptions, Running } from './options.ts'
import { openWork, wakeAt } from './work.ts'
import { startBackgroundWorker, STOP_TIMEOUT, type Worker, type WorkerOptions } from './worker.ts'

export interface Background {
  readonly direct: DirectUploads
  work(options?: WorkerOptions): Worker
  drain(options?: DrainOptions): Promise<DrainResult>
  stopAll(): Promise<void>
}

/** What runs behind the app's back, and only when it is asked to. */
export function background(given: BackgroundOptions): Background {
  const running = new Set<Worker>()
  const looks = new Set<() => void>()
  const options: Running = { ...given, ended: () => looks.forEach((look) => look()) }
  const { ready, report, waiting, wake } = options
  const outages: Outages = new Map()
  const tally = ({ dueAt }: RunResult): void => {
    wakeAt(options, dueAt)
    // What it replaced is to be purged.
    wake()
  }
  const own = openWork(options, {
    limits: { total: Infinity, of: () => Infinity },
    outages,
    queue: null,
    tally,
  })
  const direct = directUploads({
    ready,
    take: (token, stopping) => own.take(token, stopping),
    looks,
    waiting,
    report,
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
        direct.stop(parseDuration(STOP_TIMEOUT, 'timeout')),
        ...[...running].map((worker) => worker.stop()),
      ])
      await endsWithin(own.end(), GRACE)
    },
  }
}
