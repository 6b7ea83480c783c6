import type { Store } from '../database/store.ts'
import { claimJobs, finishJob, postponeJob, type JobRow } from './job-rows.ts'
import type { Source } from './engine.ts'

const LEASE = 120_000

export interface JobHandlers {
  /** Returns how long to put the job off, in milliseconds; null: done. */
  readonly [name: string]: (job: JobRow, signal: AbortSignal) => Promise<number | null>
}

/** Work that is not an upload. Its failures are retried for ever, ever more rarely: an object must go in the end. */
export function jobSource(store: () => Promise<Store>, handlers: JobHandlers, onError: (job: JobRow, error: unknown) => void): Source {
  return {
    name: 'jobs',
    async claim(limit) {
      const opened = await store()
      const jobs = await opened.transact((session) => claimJobs(session, Object.keys(handlers), limit, LEASE))
      return jobs.map((job) => ({
        async run(stopping) {
          const signal = AbortSignal.any([stopping, AbortSignal.timeout(LEASE - 10_000)])
          try {
            const delay = (await handlers[job.name]?.(job, signal)) ?? null
            if (delay === null) await finishJob(opened.session, job)
            else await postponeJob(opened.session, job, delay, null)
          } catch (error) {
            if (!stopping.aborted) onError(job, error)
            const delay = stopping.aborted ? 0 : Math.min(5_000 * 2 ** Math.min(job.attempts - 1, 10), 3_600_000)
            await postponeJob(opened.session, job, delay, error instanceof Error ? error.message : String(error))
          }
        },
      }))
    },
  }
}

