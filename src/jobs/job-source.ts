import type { Store } from '../database/store.ts'
import { messageOf } from '../errors/message.ts'
import type { JobRow } from './job-rows.ts'
import { claimJobs, finishJob, postponeJob, retryJob } from './job-transitions.ts'
import { LEASE_MS, type Leases } from './leases.ts'
import type { WorkSource } from './work-source.ts'

const MIN_RETRY_MS = 5_000
const MAX_RETRY_MS = 3_600_000

/**
 * One kind of job. The folder that does the work declares it, and `src/storage/jobs.ts` lists all
 * kinds. `Context` has what `run` needs.
 */
export interface JobDefinition<in Context> {
  /** Stored in `jobs.name`. */
  readonly name: string
  /**
   * Runs the job. Returns the milliseconds to postpone it, or null when it is done. A rejection is
   * retried for ever.
   */
  readonly run: (context: Context, job: JobRow, signal: AbortSignal) => Promise<number | null>
}

/**
 * Runs a claimed job and writes its outcome. A job that fails after `stopSignal` aborted is due
 * again at once, and is not reported to `onError`.
 */
export async function runJob(
  { session }: Store,
  job: JobRow,
  run: () => Promise<number | null>,
  onError: (job: JobRow, error: unknown) => void,
  stopSignal?: AbortSignal,
): Promise<void> {
  try {
    const delay = await run()
    if (delay === null) await finishJob(session, job)
    else await postponeJob(session, job, delay)
  } catch (error) {
    const isStopped = stopSignal?.aborted === true
    if (!isStopped) onError(job, error)
    const delay = isStopped ? 0 : computeRetryDelay(job.attempts)
    await retryJob(session, job, delay, messageOf(error))
  }
}

/** Milliseconds after the attempt with this number, counted from 1. */
function computeRetryDelay(attempts: number): number {
  return Math.min(MIN_RETRY_MS * 2 ** Math.min(attempts - 1, 10), MAX_RETRY_MS)
}

interface JobSourceOptions {
  /** Called with each failure of a job, except when its worker stops. */
  onError(job: JobRow, error: unknown): void
  /** Services that may not get another deletion now: they are unavailable, or at their limit. */
  busyServices(): Promise<readonly string[]>
}

/**
 * The source of all work that is not an upload. Failed jobs are retried for ever, with delays that
 * double up to an hour: an object that nothing needs must be deleted in the end.
 */
export function createJobSource<Context extends { readonly store: Store; readonly leases: Leases }>(
  open: () => Promise<Context>,
  definitions: readonly JobDefinition<Context>[],
  { onError, busyServices }: JobSourceOptions,
): WorkSource {
  const byName = new Map(definitions.map((definition) => [definition.name, definition]))
  return {
    name: 'jobs',
    async claim(limit) {
      const context = await open()
      const { store, leases } = context
      const claim = {
        names: [...byName.keys()],
        limit,
        leaseFor: LEASE_MS,
        excludedServices: await busyServices(),
      }
      const jobs = await store.transact((session) => claimJobs(session, claim))
      return jobs.map((job) => ({
        async run(stopSignal) {
          const lease = leases.hold(job.leaseToken)
          const signal = AbortSignal.any([stopSignal, lease.signal])
          const run = async (): Promise<number | null> =>
            (await byName.get(job.name)?.run(context, job, signal)) ?? null
          await runJob(store, job, run, onError, stopSignal).finally(() => lease.stopRenewing())
        },
      }))
    },
  }
}
