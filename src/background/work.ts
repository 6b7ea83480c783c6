import { openOnce } from '../async/open-once.ts'
import type { Settings } from '../configuration/configuration.ts'
import { listUsedServices } from '../configuration/models.ts'
import { uuidv7 } from '../database/uuid.ts'
import { createConcurrencyLimits, type ConcurrencySettings } from '../delayed/concurrency-limits.ts'
import type { UploadResult } from '../delayed/upload-outcome.ts'
import { UploadWork, type WorkContext } from '../delayed/upload-work.ts'
import type { WorkOptions } from '../jobs/embedded-worker.ts'
import { createJobSource } from '../jobs/job-source.ts'
import { Leases } from '../jobs/leases.ts'
import type { QueueSubscription } from '../jobs/queue-subscription.ts'
import type { WorkSource } from '../jobs/work-source.ts'
import type { BackgroundParts } from './parts.ts'
import { sweepEverything } from './sweep-everything.ts'
import type { WakeUps } from './wake-ups.ts'

/**
 * The poll of a worker that is notified of new work. It only finds work whose notification was
 * missed.
 */
export const SLOW_POLL_MS = 30_000

/** The work of one worker, of one drain, or of all direct attaches. */
export interface Work {
  readonly sources: readonly WorkSource[]
  /** Runs this upload. null: it is not due, or another worker has it. */
  runOne(token: string, stopping: AbortSignal): Promise<UploadResult | null>
  /** Handles a message of the app's queue. */
  handle(token: string, stopping: AbortSignal): Promise<void>
  /** Ends the heartbeat. Claimed work must have ended. */
  close(): Promise<void>
}

interface WorkTerms {
  readonly limits: ConcurrencySettings
  /** The app's queue, for a worker only; null: a drain, or direct attaches. */
  readonly queue: Pick<QueueSubscription, 'isDelivering'> | null
  tally(result: UploadResult): void
}

/**
 * Makes the work of a worker, a drain or direct attaches. It has its own leases, and opens the
 * database at its first claim.
 */
export function createWork(parts: BackgroundParts, { limits, queue, tally }: WorkTerms): Work {
  const open = openOnce(() => openContext(parts, limits, queue !== null))
  const uploads = new UploadWork(open, (result) => {
    tally(result)
    for (const listener of parts.endListeners) listener()
  })
  // A queue may still deliver a message when its worker has stopped.
  let isClosed = false
  return {
    sources: [
      {
        name: 'uploads',
        // A worker whose queue takes and delivers messages does not look for uploads. A drain
        // always looks.
        claim: async (limit) =>
          queue?.isDelivering() === true && parts.wakeUps.messages?.isTaking === true
            ? []
            : uploads.uploads.claim(limit),
      },
      uploads.hooks,
      createJobs(parts, open),
    ],
    runOne: (token, stopping) => uploads.runOne(token, stopping),
    async handle(id, stopping) {
      if (!isClosed) await uploads.handle(id, stopping)
    },
    async close() {
      isClosed = true
      await (await open.opened())?.leases.close()
    },
  }
}

/** Lists the services that are configured, and those that attachments use. */
export const serviceNames = ({
  services,
  models,
}: Settings): { readonly all: readonly string[]; readonly used: readonly string[] } => ({
  all: Object.keys(services),
  used: listUsedServices(models),
})

/** Returns the options of the engine that runs the work. */
export function toWorkOptions(
  parts: BackgroundParts,
  { sources }: Work,
  { total }: ConcurrencySettings,
): WorkOptions {
  return {
    sources,
    concurrency: total,
    sweep: (stopping) => sweepEverything(parts, stopping),
    onError: (message, error) => parts.settings.log('error', message, { error }),
  }
}

/** Wakes workers for a retry that is due sooner than their next poll. */
export function wakeForRetry({ wake }: WakeUps, result: UploadResult): void {
  if (result.outcome !== 'retried') return
  const wait = result.dueAt - performance.now()
  // Timers may be a millisecond early.
  if (wait < SLOW_POLL_MS) setTimeout(wake, wait + 2).unref()
}

async function openContext(
  { settings, wakeUps, outages, open }: BackgroundParts,
  limits: ConcurrencySettings,
  isWorker: boolean,
): Promise<WorkContext> {
  const context = await open()
  const { store, retries } = context
  const attachments = settings.knownAttachments.map(({ type, name }) => `${type}.${name}`)
  const leases = new Leases(store, {
    onError: (message, error) => settings.log('warn', message, { error }),
    ...(isWorker ? { worker: { id: uuidv7(), attachments } } : {}),
  })
  const permits = createConcurrencyLimits({ settings: limits, outages, retries, isWorker })
  return { context, store, leases, permits, wake: wakeUps.wake }
}

function createJobs(
  { settings, jobs }: BackgroundParts,
  open: () => Promise<WorkContext>,
): WorkSource {
  return createJobSource(open, jobs, {
    onError: (job, error) =>
      settings.log('warn', `The job ${job.name} failed; it is tried again.`, {
        job: job.id,
        attempt: job.attempts,
        error,
      }),
    async busyServices() {
      const { permits } = await open()
      return Object.keys(settings.services).filter((service) => permits.capacity(service) < 1)
    },
  })
}
