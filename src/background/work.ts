import { purgeBlob } from '../attachments/purge.ts'
import type { DelayedContext } from '../delayed/context.ts'
import { deleteObject } from '../delayed/delete-object.ts'
import {
  createConcurrencyLimits,
  runWithPermit,
  type Outages,
  type ConcurrencySettings,
  type ConcurrencyLimits,
} from '../delayed/concurrency-limits.ts'
import type { UploadResult } from '../delayed/record-outcome.ts'
import { createUploadWork } from '../delayed/work-sources.ts'
import type { WorkOptions } from '../jobs/embedded-worker.ts'
import { createLeases, type Leases } from '../jobs/leases.ts'
import { createJobSource } from '../jobs/job-source.ts'
import type { WorkSource } from '../jobs/work-source.ts'
import type { QueueSubscription } from '../jobs/queue-subscription.ts'
import { uuidv7 } from '../database/uuid.ts'
import type { BackgroundOptions, Running } from './options.ts'

/** Where something tells of new work, polling is only for what it missed. */
export const SLOW_POLL_MS = 30_000

export interface Work {
  readonly sources: readonly WorkSource[]
  take(token: string, stopping: AbortSignal): Promise<UploadResult | null>
  handle(token: string, stopping: AbortSignal): Promise<void>
  close(): Promise<void>
}

interface WorkTerms {
  readonly limits: ConcurrencySettings
  readonly outages: Outages
  /** null: a drain, or direct uploads. */
  readonly queue: QueueSubscription | null
  tally(result: UploadResult): void
}

/** What a worker, a drain, or direct uploads do; only a worker has a queue. Each has its own leases, and opens the database at its first claim. */
export function createWork(options: Running, { limits, outages, queue, tally }: WorkTerms): Work {
  let room:
    | Promise<{
        delayed: DelayedContext
        store: DelayedContext['store']
        leases: Leases
        places: ConcurrencyLimits
      }>
    | undefined
  const ready = () =>
    (room ??= options
      .ready()
      .then((delayed) => {
        const knows = delayed.knownAttachments.map(({ type, name }) => `${type}.${name}`)
        const leases = createLeases(delayed.store, {
          onError: (message, error) => options.report('warn', message, { error }),
          ...(queue === null ? {} : { worker: { id: uuidv7(), knows } }),
        })
        const places = createConcurrencyLimits(limits, outages, delayed.retries, queue === null)
        return { delayed, store: delayed.store, leases, places }
      })
      .catch((error: unknown) => {
        room = undefined
        throw error
      }))
  // A queue may still bring a hint when its worker has stopped.
  let over = false
  const uploads = createUploadWork(ready, (result) => {
    tally(result)
    options.ended()
  })
  const jobs = createJobSource(
    ready,
    {
      purge: async (job) => {
        await (
          await ready()
        ).store.transact((session) => purgeBlob(session, job.arguments['blob'] ?? ''))
        options.wake()
        return null
      },
      'delete-object': async (job, signal) => {
        const { delayed, places } = await ready()
        return runWithPermit(places, job.arguments['service'] ?? '', () =>
          deleteObject(delayed.store, delayed.services, job, signal),
        )
      },
    },
    (job, error) =>
      options.report('warn', `The job ${job.name} failed and is tried again.`, {
        job: job.id,
        attempt: job.attempts,
        error,
      }),
    async () => {
      const { delayed, places } = await ready()
      return Object.keys(delayed.services).filter((service) => places.capacity(service) < 1)
    },
  )
  return {
    // Where the app has a queue, it brings uploads to workers; a drain looks for all that is due by itself.
    sources: [
      {
        name: 'uploads',
        claim: async (limit) =>
          queue?.isDelivering() === true ? [] : uploads.uploads.claim(limit),
      },
      uploads.hooks,
      jobs,
    ],
    take: (token, stopping) => uploads.runOne(token, stopping),
    async handle(id, stopping) {
      if (!over) await uploads.handle({ kind: 'upload', id }, stopping)
    },
    async close() {
      over = true
      await (await room?.catch(() => undefined))?.leases.close()
    },
  }
}

export function toWorkOptions(
  options: BackgroundOptions,
  { sources }: Work,
  { total }: ConcurrencySettings,
): WorkOptions {
  return {
    sources,
    concurrency: total,
    sweep: options.sweep,
    onError: (message, error) => options.report('error', message, { error }),
  }
}

/** Where nothing tells of it, a retry that is due sooner than the next poll is looked for in time. */
export function wakeAt({ wake }: BackgroundOptions, dueAt: number = Infinity): void {
  const wait = dueAt - performance.now()
  // Timers may be a millisecond early.
  if (wait < SLOW_POLL_MS) setTimeout(wake, wait + 2).unref()
}
