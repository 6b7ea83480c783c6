import { createSemaphore } from '../async/semaphore.ts'
import type { Store } from '../database/store.ts'
import { ServiceUnavailableError } from '../errors/errors.ts'
import type { Leases } from '../jobs/leases.ts'
import type { Task, WorkSource } from '../jobs/work-source.ts'
import { claimHooks } from './claim-hooks.ts'
import { claimUploads } from './claim-uploads.ts'
import type { ConcurrencyLimits, ReleasePermit, ServiceObservation } from './concurrency-limits.ts'
import { toServiceName, type DelayedContext } from './context.ts'
import { findPending } from './enqueue.ts'
import { runHookRound } from './hooks.ts'
import type { UploadResult } from './upload-outcome.ts'
import type { UploadRow } from './upload-rows.ts'
import { UploadRun } from './upload-run.ts'

/** The parts that uploads, their hooks and jobs run with. */
export interface WorkContext {
  readonly context: DelayedContext
  /** The store of `context`, for jobs. */
  readonly store: Store
  readonly leases: Leases
  readonly permits: ConcurrencyLimits
  /** Makes workers of this process look for work at once. */
  readonly wake: () => void
}

type KnownAttachment = DelayedContext['knownAttachments'][number]

/** An upload that is claimed, and holds a permit of its service. */
interface ClaimedUpload {
  readonly service: string
  run(stopping: AbortSignal): Promise<UploadResult>
}

/**
 * Milliseconds in which a message goes on with uploads of its service that were put off. After them
 * their own messages come again.
 */
const CONTINUE_FOR_MS = 5_000

/** The uploads and hooks that one worker, one drain, or all direct attaches of a process run. */
export class UploadWork {
  /** Uploads that are due. */
  readonly uploads: WorkSource = {
    name: 'uploads',
    claim: async (limit) => {
      const claimed = await this.#claimAlone(() => this.#claimDue(limit))
      return claimed.map((each) => ({ run: (stopping) => this.#runAndContinue(each, stopping) }))
    },
  }
  /** Rounds of hooks that are due. */
  readonly hooks: WorkSource = {
    name: 'hooks',
    claim: (limit) => this.#claimHookRounds(limit),
  }
  readonly #open: () => Promise<WorkContext>
  readonly #tally: (result: UploadResult) => void
  /** Lets one claim at a time look for capacity and take it: messages come many at a time. */
  readonly #claims = createSemaphore(1)
  /** Services that had no capacity when messages came, so that these were put off. */
  readonly #crowdedServices = new Set<string>()
  #claimCount = 0

  /** `open` opens the database at the first claim; `tally` is called with each result. */
  constructor(open: () => Promise<WorkContext>, tally: (result: UploadResult) => void) {
    this.#open = open
    this.#tally = tally
  }

  /** Runs an upload if it is due and its turn. null: it is not, or a worker has it. */
  async runOne(token: string, stopping: AbortSignal): Promise<UploadResult | null> {
    const { context } = await this.#open()
    const claimed = await this.#claimOne(context.knownAttachments, token)
    return claimed === null ? null : claimed.run(stopping)
  }

  /** Does what a message of the app's queue asks for, if it is due and its turn. */
  async handle(id: string, stopping: AbortSignal): Promise<void> {
    const { context, permits } = await this.#open()
    const hasCapacity = (attachment: KnownAttachment): boolean =>
      permits.capacity(toServiceName(context, attachment)) > 0
    const { free, claimed } = await this.#claimAlone(async () => {
      const { free = [], crowded = [] } = Object.groupBy(context.knownAttachments, (each) =>
        hasCapacity(each) ? 'free' : 'crowded',
      )
      // Before the claim, so that an upload that ends meanwhile goes on with those put off.
      for (const each of crowded) this.#crowdedServices.add(toServiceName(context, each))
      return { free, claimed: await this.#claimOne(free, id) }
    })
    if (claimed !== null) await this.#runAndContinue(claimed, stopping)
    else await this.#requeueEarly(id, free)
  }

  /**
   * Sends a message again that came too early: the queue's clock is not the database's, its lane
   * was busy, or its service has no capacity. `free`: the attachments whose service had capacity.
   */
  async #requeueEarly(token: string, free: readonly KnownAttachment[]): Promise<void> {
    const { context, permits } = await this.#open()
    const early = await findPending(context.store.session, token)
    if (early === null) return
    const wait = free.some((each) => isSameAttachment(each, early))
      ? early.wait
      : Math.max(early.wait, permits.retryDelay(toServiceName(context, early)))
    if (wait > 0) void context.messages?.sendAt(token, new Date(Date.now() + wait))
  }

  /**
   * Runs an upload, then others of its service whose messages were put off for lack of capacity.
   * Also one that a poll claimed: it may have held the capacity.
   */
  async #runAndContinue({ service, run }: ClaimedUpload, stopping: AbortSignal): Promise<void> {
    await run(stopping)
    const { context, permits } = await this.#open()
    const known = context.knownAttachments.filter(
      (each) => toServiceName(context, each) === service,
    )
    const until = performance.now() + CONTINUE_FOR_MS
    while (this.#crowdedServices.has(service) && !stopping.aborted && performance.now() < until) {
      const [next] = await this.#claimAlone(async () => {
        // Read before the claim: capacity that is released meanwhile has claimed nothing. Without
        // capacity, the uploads that have it go on instead.
        const hadCapacity = permits.capacity(service) > 0
        const claimed = await this.#claimOfService(service, known, 1)
        if (claimed.length === 0 && hadCapacity) this.#crowdedServices.delete(service)
        return claimed
      })
      if (next === undefined) return
      await next.run(stopping)
    }
  }

  async #claimAlone<T>(claim: () => Promise<T>): Promise<T> {
    await this.#claims.acquire()
    return claim().finally(() => this.#claims.release())
  }

  /** Claims due uploads of all services. Each service comes first in its turn. */
  async #claimDue(limit: number): Promise<ClaimedUpload[]> {
    const groups = groupByService((await this.#open()).context)
    const first = (this.#claimCount += 1) % Math.max(groups.length, 1)
    const all: ClaimedUpload[] = []
    for (const [service, known] of [...groups.slice(first), ...groups.slice(0, first)])
      try {
        all.push(...(await this.#claimOfService(service, known, limit - all.length)))
      } catch (error) {
        if (all.length === 0) throw error
        // The claimed uploads must run in any case. The next claim meets the error again.
        break
      }
    return all
  }

  async #claimOfService(
    service: string,
    knownAttachments: readonly KnownAttachment[],
    limit: number,
  ): Promise<ClaimedUpload[]> {
    const { context, permits } = await this.#open()
    const uploads = await claimUploads(
      { ...context, knownAttachments },
      Math.min(limit, permits.capacity(service)),
    )
    return uploads.map((upload) => this.#toClaimed(upload, service, permits))
  }

  async #claimOne(
    knownAttachments: readonly KnownAttachment[],
    token: string,
  ): Promise<ClaimedUpload | null> {
    const { context, permits } = await this.#open()
    const [upload] = await claimUploads({ ...context, knownAttachments }, 1, token)
    return upload === undefined
      ? null
      : this.#toClaimed(upload, toServiceName(context, upload.lane), permits)
  }

  #toClaimed(upload: UploadRow, service: string, permits: ConcurrencyLimits): ClaimedUpload {
    const release = permits.acquire(service)
    return { service, run: (stopping) => this.#run(upload, release, stopping) }
  }

  async #run(
    upload: UploadRow,
    release: ReleasePermit,
    stopping: AbortSignal,
  ): Promise<UploadResult> {
    const { context, leases, permits } = await this.#open()
    const run = new UploadRun({ context, leases, upload, stopping })
    const result = await run.run().catch((error: unknown) => {
      release('unknown')
      throw error
    })
    release(observeService(result))
    // The queue is not waited for: it may never respond.
    if (result.outcome === 'retried') {
      // Whatever is due by then may be the next to try whether the service is back.
      const nextTry = permits.unavailableUntil(toServiceName(context, upload.lane))
      this.#tally({ ...result, dueAt: Math.max(result.dueAt, nextTry) })
      void context.messages?.sendAt(upload.token, result.retryAt)
    } else this.#tally(result)
    void context.messages?.sendDue()
    return result
  }

  async #claimHookRounds(limit: number): Promise<Task[]> {
    const { context, leases } = await this.#open()
    const uploads = await claimHooks(context, limit)
    return uploads.map((upload) => ({ run: () => runHookRound(context, leases, upload) }))
  }
}

/** Returns what a run showed of its service. */
function observeService(result: UploadResult): ServiceObservation {
  if (result.outcome === 'uploaded') return 'available'
  const hasError = result.outcome === 'retried' || result.outcome === 'failed'
  return hasError && result.error instanceof ServiceUnavailableError ? 'unavailable' : 'unknown'
}

const isSameAttachment = (a: KnownAttachment, b: KnownAttachment): boolean =>
  a.type === b.type && a.name === b.name

function groupByService(
  context: DelayedContext,
): [service: string, known: readonly KnownAttachment[]][] {
  return [
    ...Map.groupBy(context.knownAttachments, (attachment) => toServiceName(context, attachment)),
  ]
}
