import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import { createSemaphore, type Semaphore } from '../async/semaphore.ts'
import { untilAborted } from '../async/until-aborted.ts'
import type { Lane } from '../attachments/lane.ts'
import type { Log } from '../diagnostics/log.ts'
import { ServiceError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { findFilesOfUploads, isAttached } from '../staging/file-rows.ts'
import { toServiceName, type DelayedContext } from './context.ts'
import type { DirectWaitOptions } from './direct-attach-options.ts'
import {
  ATTACHED,
  createPendingError,
  isUndecided,
  PENDING,
  type DirectAttachOutcome,
} from './direct-attach-outcome.ts'
import type { UploadResult } from './upload-outcome.ts'
import { findOlderDue, findUploadPhase } from './upload-phase.ts'

/** An upload and its lane. */
export interface SubmittedUpload {
  readonly token: string
  readonly lane: Lane
}

/** The parts of a storage that its direct attaches need. */
export interface DirectAttachesOptions {
  /** Opens the database at the first call. */
  open(): Promise<DelayedContext>
  /** Runs the upload. null: it cannot be claimed now. */
  runOne(token: string, stopping: AbortSignal): Promise<UploadResult | null>
  /** Called whenever an upload of this process has ended. */
  readonly endListeners: Set<() => void>
  readonly wait: DirectWaitOptions
  readonly log: Log
}

/** Options of `DirectAttaches.waitUntilAttached`. */
export interface AttachWaitOptions {
  /** Milliseconds. Default: `direct.timeout` of the storage. */
  readonly timeout?: number | undefined
  /** Ends the wait; the uploads go on. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Uploads of one service at once. Workers have permits of their own: a hook keeps its worker's
 * permit while it waits for a direct save, which would wait for that permit.
 */
const PERMITS_PER_SERVICE = 8
/** Milliseconds between two looks at an upload that another process has. */
const MIN_POLL_MS = 20
const MAX_POLL_MS = 500

/** An upload that this process runs, or waits for. */
interface AwaitedUpload {
  /** When the last waiter gives up, by `performance.now()`. */
  until: number
  /** Aborts when a waiter holds a permit: the upload then begins without one. */
  readonly permitWaiver: AbortController
  readonly end: Promise<DirectAttachOutcome>
}

/**
 * Uploads of files that were attached directly inside a transaction. The process that committed
 * them uploads them at once, as a worker would, with lease and fence.
 */
export class DirectAttaches {
  readonly #options: DirectAttachesOptions
  readonly #followed = new Map<string, AwaitedUpload>()
  readonly #running = new Set<Promise<unknown>>()
  /** By service, because a service that hangs must not stop the uploads to the others. */
  readonly #permits = new Map<string, Semaphore>()
  /** Is true in hooks, whose upload keeps its permit until they return. */
  readonly #permitHolders = new AsyncLocalStorage<boolean>()
  /** Leaves the context of the app's transaction, which is over when the upload begins. */
  readonly #outside = AsyncLocalStorage.snapshot()
  readonly #stopping = new AbortController()
  #isClosed = false

  constructor(options: DirectAttachesOptions) {
    this.#options = options
  }

  /** Starts an upload whose transaction is committed. Never throws: workers do what fails here. */
  start(token: string): void {
    if (this.#isClosed) return
    const { wait, log } = this.#options
    this.#follow(token, performance.now() + wait.timeout).catch((error: unknown) =>
      log('warn', 'An upload could not be started here; a worker will run it.', {
        upload: token,
        error,
      }),
    )
  }

  /**
   * Resolves when all uploads are attached, or replaced by something newer. Runs those that are due
   * and waits for those that a worker has. Throws AttachPendingError when one fails or the time is
   * over, and the signal's reason when it aborts.
   */
  async waitUntilAttached(
    uploads: readonly SubmittedUpload[],
    { timeout = this.#options.wait.timeout, signal }: AttachWaitOptions = {},
  ): Promise<void> {
    const ends = await Promise.allSettled(
      uploads.map((upload) => this.#waitForOne(upload, timeout, signal)),
    )
    const failed = ends.find((each) => each.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /**
   * Calls `waitUntilAttached` after a save. Rejects only if `direct.onFailure` is 'throw'; else it
   * logs the error.
   */
  async waitAfterSave(uploads: readonly SubmittedUpload[]): Promise<void> {
    try {
      await this.waitUntilAttached(uploads)
    } catch (error) {
      const { wait, log } = this.#options
      if (wait.onFailure === 'throw') throw error
      log('warn', messageOf(error), { error })
    }
  }

  /** Starts no more uploads, and releases those that still run after `milliseconds`. */
  async stop(milliseconds: number): Promise<void> {
    this.#isClosed = true
    for (const look of this.#options.endListeners) look()
    const ended = Promise.allSettled(this.#running)
    const timer = setTimeout(
      () => this.#stopping.abort(new Error('The storage is closing.')),
      milliseconds,
    )
    await endsWithin(ended, milliseconds + STOP_GRACE_MS)
    clearTimeout(timer)
  }

  async #waitForOne(
    { token, lane }: SubmittedUpload,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const outcome = await this.#wait(token, timeout, signal).catch((cause: unknown) => {
      signal?.throwIfAborted()
      const error = new ServiceError('It is not known how the upload went.', { cause })
      return { state: 'pending', error } as const
    })
    if (outcome.state === 'attached') return
    throw createPendingError(lane, await this.#findFilename(token).catch(() => undefined), outcome)
  }

  /** Follows an upload until it has ended or the time is over. Rejects if the signal aborts. */
  async #wait(
    token: string,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<DirectAttachOutcome> {
    const deadline = performance.now() + timeout
    const ended = new AbortController()
    const signals = signal === undefined ? [ended.signal] : [ended.signal, signal]
    const late = delay(timeout, PENDING, { signal: AbortSignal.any(signals) })
    // It is not awaited if the storage is closing.
    late.catch(() => undefined)
    try {
      let outcome: DirectAttachOutcome = PENDING
      while (isUndecided(outcome) && !this.#isClosed && performance.now() < deadline)
        outcome = await Promise.race([this.#follow(token, deadline), late])
      if (!isUndecided(outcome)) return outcome
    } finally {
      ended.abort()
    }
    // An upload is attached before its hooks run, which may take longer than the wait.
    const found = await findUploadPhase((await this.#options.open()).store.session, token)
    return found === null || found.phase === 'attached' ? ATTACHED : PENDING
  }

  async #findFilename(token: string): Promise<string | undefined> {
    const { store } = await this.#options.open()
    const files = await findFilesOfUploads(store.session, [token])
    return files.find((file) => !isAttached(file))?.filename
  }

  /** Joins the waiters of an upload, or becomes the first. `until`: by `performance.now()`. */
  #follow(token: string, until: number): Promise<DirectAttachOutcome> {
    const known = this.#followed.get(token)
    const { permitWaiver } = known ?? { permitWaiver: new AbortController() }
    if (this.#permitHolders.getStore() === true) permitWaiver.abort()
    if (known !== undefined) {
      known.until = Math.max(known.until, until)
      return known.end
    }
    const mayWait = (): boolean => !this.#isClosed && performance.now() < followed.until
    const end = this.#outside(() =>
      this.#runUntilDecided(token, permitWaiver.signal, mayWait),
    ).finally(() => this.#followed.delete(token))
    const followed: AwaitedUpload = { until, permitWaiver, end }
    this.#followed.set(token, followed)
    return end
  }

  async #runUntilDecided(
    token: string,
    permitWaiver: AbortSignal,
    mayWait: () => boolean,
  ): Promise<DirectAttachOutcome> {
    for (let wait = MIN_POLL_MS; ; wait = Math.min(wait * 1.5, MAX_POLL_MS)) {
      const outcome = await this.#attempt(token, permitWaiver).catch((error: unknown) => {
        if (!mayWait()) throw error
        return PENDING
      })
      if (!isUndecided(outcome) || !mayWait()) return outcome
      await this.#pause(wait)
    }
  }

  /** Runs an upload if it can be claimed, after the older ones of its lane that can. */
  async #attempt(token: string, permitWaiver: AbortSignal): Promise<DirectAttachOutcome> {
    const context = await this.#options.open()
    const { store } = context
    for (;;) {
      const found = await findUploadPhase(store.session, token)
      if (found === null || found.phase === 'attached') return ATTACHED
      const { upload, phase } = found
      if (phase === 'failing') {
        const { state, lastError } = upload
        const error = lastError === null ? null : new ServiceError(lastError)
        return { state: state === 'failed' ? 'failed' : 'pending', error }
      }
      if (upload.state === 'running') return PENDING
      // There may be no worker for the older uploads of its lane.
      const next = phase === 'due' ? token : await findOlderDue(store.session, upload)
      if (next === null) return PENDING
      const service = toServiceName(context, upload.lane)
      const result = permitWaiver.aborted
        ? await this.#run(next)
        : await this.#runWithPermit(next, service, permitWaiver)
      if (result === null) return PENDING
      if (next !== token) continue
      if (result.outcome === 'uploaded') return ATTACHED
      if (result.outcome === 'retried') return { state: 'pending', error: result.error }
      if (result.outcome === 'failed' && result.error !== undefined)
        return { state: 'failed', error: result.error }
    }
  }

  /** Runs an upload when a permit is free, or when the upload needs none any more. */
  async #runWithPermit(
    token: string,
    service: string,
    permitWaiver: AbortSignal,
  ): Promise<UploadResult | null> {
    const permits = this.#permits.get(service) ?? createSemaphore(PERMITS_PER_SERVICE)
    this.#permits.set(service, permits)
    const permit = permits.acquire()
    await untilAborted(permit, permitWaiver).catch(() => undefined)
    // A permit that is still to come is not awaited, because its holder may wait for this upload.
    return this.#run(token).finally(() => void permit.then(() => permits.release()))
  }

  async #run(token: string): Promise<UploadResult | null> {
    if (this.#isClosed) return null
    const run = this.#permitHolders.run(true, () =>
      this.#options.runOne(token, this.#stopping.signal),
    )
    this.#running.add(run)
    return run.finally(() => this.#running.delete(run))
  }

  /** Waits until an upload of this process ends, or the time is over. */
  #pause(milliseconds: number): Promise<void> {
    const { endListeners } = this.#options
    return new Promise((resolve) => {
      const look = (): void => {
        clearTimeout(timer)
        endListeners.delete(look)
        resolve()
      }
      const timer = setTimeout(look, milliseconds).unref()
      endListeners.add(look)
    })
  }
}
