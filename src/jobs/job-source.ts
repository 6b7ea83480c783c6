import type { Store } from '../database/store.ts'
import { messageOf } from '../errors/message.ts'
import { claimJobs, finishJob, postponeJob, type JobRow } from './job-rows.ts'
import { LEASE_MS, type Leases } from './leases.ts'
import type { WorkSource } from './work-source.ts'

const MIN_RETRY_MS = 5_000
const MAX_RETRY_MS = 3_600_000

/**
 * One kind of job, declared by the folder that owns it. `Context` is what it needs;
 * `src/storage/jobs.ts` lists all kinds.
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

/** Runs a claimed job and writes its outcome. A job that was stopped is due again at once. */
export async function runJob(
  { session }: Store,
  job: JobRow,
  run: () => Promise<number | null>,
  onError: (job: JobRow, error: unknown) => void,
  stopping?: AbortSignal,
): Promise<void> {
  try {
    const delay = await run()
    if (delay === null) await finishJob(session, job)
    else await postponeJob(session, job, delay, null)
  } catch (error) {
    const isStopped = stopping?.aborted === true
    if (!isStopped) onError(job, error)
    await postponeJob(session, job, isStopped ? 0 : retryDelay(job.attempts), messageOf(error))
  }
}

function retryDelay(attempts: number): number {
  return Math.min(MIN_RETRY_MS * 2 ** Math.min(attempts - 1, 10), MAX_RETRY_MS)
}

interface JobSourceOptions {
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
        async run(stopping) {
          const lease = leases.hold(job.leaseToken)
          const signal = AbortSignal.any([stopping, lease.signal])
          const run = async (): Promise<number | null> =>
            (await byName.get(job.name)?.run(context, job, signal)) ?? null
          await runJob(store, job, run, onError, stopping).finally(() => lease.release())
        },
      }))
    },
  }
}
