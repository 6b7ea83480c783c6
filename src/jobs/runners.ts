import type { Store } from '../database/store.ts'
import { claimJobs, finishJob, postponeJob, type JobRow } from './job-rows.ts'
import { LEASE, type Leases } from './leases.ts'
import type { Source } from './source.ts'
import { messageOf } from '../message.ts'

export interface JobHandlers {
  /** Returns how long to put the job off, in milliseconds; null: done. */
  readonly [name: string]: (job: JobRow, signal: AbortSignal) => Promise<number | null>
}

/** Work that is not an upload. Its failures are retried for ever, ever more rarely: an object must go in the end. */
export function jobSource(
  ready: () => Promise<{ readonly store: Store; readonly leases: Leases }>,
  handlers: JobHandlers,
  onError: (job: JobRow, error: unknown) => void,
): Source {
  return {
    name: 'jobs',
    async claim(limit) {
      const { store, leases } = await ready()
      const jobs = await store.transact((session) => claimJobs(session, { names: Object.keys(handlers), limit, leaseFor: LEASE }))
      return jobs.map((job) => ({
        async run(stopping) {
          const lease = leases.hold(job.leaseToken)
          try {
            const signal = AbortSignal.any([stopping, lease.signal])
            const delay = (await handlers[job.name]?.(job, signal)) ?? null
            if (delay === null) await finishJob(store.session, job)
            else await postponeJob(store.session, job, delay, null)
          } catch (error) {
            if (!stopping.aborted) onError(job, error)
            const delay = stopping.aborted ? 0 : Math.min(5_000 * 2 ** Math.min(job.attempts - 1, 10), 3_600_000)
            await postponeJob(store.session, job, delay, messageOf(error))
          } finally {
            lease.release()
          }
        },
      }))
    },
  }
}
