import { purgeBlob } from '../attachments/purge.ts'
import type { Delayed } from '../delayed/definition.ts'
import { deleteObject } from '../delayed/delete-object.ts'
import {
  createPlaces,
  runIn,
  type Outages,
  type PlaceLimits,
  type Places,
} from '../delayed/places.ts'
import type { RunResult } from '../delayed/settle.ts'
import { uploadWork } from '../delayed/sources.ts'
import type { WorkOptions } from '../jobs/embedded.ts'
import { createLeases, type Leases } from '../jobs/leases.ts'
import { jobSource } from '../jobs/runners.ts'
import type { Source } from '../jobs/source.ts'
import type { Subscription } from '../jobs/subscription.ts'
import { uuidv7 } from '../uuid.ts'
import type { BackgroundOptions, Running } from './options.ts'

/** Where something tells of new work, polling is only for what it missed. */
export const SLOW_POLL = 30_000

export interface Work {
  readonly sources: readonly Source[]
  take(token: string, stopping: AbortSignal): Promise<RunResult | null>
  handle(token: string, stopping: AbortSignal): Promise<void>
  end(): Promise<void>
}

interface Terms {
  readonly limits: PlaceLimits
  readonly outages: Outages
  /** null: a drain, or direct uploads. */
  readonly queue: Subscription | null
  tally(result: RunResult): void
}

/** What a worker, a drain, or direct uploads do; only a worker has a queue. Each has its own leases, and opens the database at its first claim. */
export function openWork(options: Running, { limits, outages, queue, tally }: Terms): Work {
  let room:
    | Promise<{ delayed: Delayed; store: Delayed['store']; leases: Leases; places: Places }>
    | undefined
  const ready = () =>
    (room ??= options
      .ready()
      .then((delayed) => {
        const knows = delayed.known.map(({ type, name }) => `${type}.${name}`)
        const leases = createLeases(delayed.store, {
          onError: (message, error) => options.report('warn', message, { error }),
          ...(queue === null ? {} : { worker: { id: uuidv7(), knows } }),
        })
        const places = createPlaces(limits, outages, delayed.retries, queue === null)
        return { delayed, store: delayed.store, leases, places }
      })
      .catch((error: unknown) => {
        room = undefined
        throw error
      }))
  // A queue may still bring a hint when its worker has stopped.
  let over = false
  const uploads = uploadWork(ready, (result) => {
    tally(result)
    options.ended()
  })
  const jobs = jobSource(
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
        return runIn(places, job.arguments['service'] ?? '', () =>
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
      return Object.keys(delayed.services).filter((service) => places.room(service) < 1)
    },
  )
  return {
    // Where the app has a queue, it brings uploads to workers; a drain looks for all that is due by itself.
    sources: [
      {
        name: 'uploads',
        claim: async (limit) => (queue?.delivers() === true ? [] : uploads.uploads.claim(limit)),
      },
      uploads.hooks,
      jobs,
    ],
    take: (token, stopping) => uploads.take(token, stopping),
    async handle(id, stopping) {
      if (!over) await uploads.handle({ kind: 'upload', id }, stopping)
    },
    async end() {
      over = true
      await (await room?.catch(() => undefined))?.leases.close()
    },
  }
}

export function workOptions(
  options: BackgroundOptions,
  { sources }: Work,
  { total }: PlaceLimits,
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
  if (wait < SLOW_POLL) setTimeout(wake, wait + 2).unref()
}
