import type { Store } from '../database/store.ts'
import { claimJobs, finishJob, postponeJob, type JobRow } from './job-rows.ts'
import { LEASE_MS, type Leases } from './leases.ts'
import type { WorkSource } from './work-source.ts'
import { messageOf } from '../errors/message.ts'

export interface JobHandlers {
  /** Returns how long to put the job off, in milliseconds; null: done. */
  readonly [name: string]: (job: JobRow, signal: AbortSignal) => Promise<number | null>
}

/** Does a claimed job and writes down what came of it. One that was stopped is due again at once. */
export async function runJob(
  { session }: Store,
  job: JobRow,
  handle: () => Promise<number | null>,
  onError: (job: JobRow, error: unknown) => void,
  stopping?: AbortSignal,
): Promise<void> {
  try {
    const delay = await handle()
    if (delay === null) await finishJob(session, job)
    else await postponeJob(session, job, delay, null)
  } catch (error) {
    const isStopped = stopping?.aborted === true
    if (!isStopped) onError(job, error)
    const delay = isStopped ? 0 : Math.min(5_000 * 2 ** Math.min(job.attempts - 1, 10), 3_600_000)
    await postponeJob(session, job, delay, messageOf(error))
  }
}

/** Work that is not an upload. Its failures are retried for ever, ever more rarely: an object must go in the end. */
export function createJobSource(
  ready: () => Promise<{ readonly store: Store; readonly leases: Leases }>,
  handlers: JobHandlers,
  onError: (job: JobRow, error: unknown) => void,
  /** Services that have no room for another deletion now. */
  full: () => Promise<readonly string[]>,
): WorkSource {
  return {
    name: 'jobs',
    async claim(limit) {
      const { store, leases } = await ready()
      const claim = { names: Object.keys(handlers), limit, leaseFor: LEASE_MS, notOf: await full() }
      const jobs = await store.transact((session) => claimJobs(session, claim))
      return jobs.map((job) => ({
        async run(stopping) {
          const lease = leases.hold(job.leaseToken)
          const signal = AbortSignal.any([stopping, lease.signal])
          const handle = async (): Promise<number | null> =>
            (await handlers[job.name]?.(job, signal)) ?? null
          await runJob(store, job, handle, onError, stopping).finally(() => lease.release())
        },
      }))
    },
  }
}
