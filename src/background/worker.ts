import { STOP_GRACE_MS, waitQuietly } from '../async/deadline.ts'
import { readConcurrency, type Concurrency } from '../delayed/concurrency-limits.ts'
import { EmbeddedWorker } from '../jobs/embedded-worker.ts'
import { subscribeToQueue, type QueueSubscription } from '../jobs/queue-subscription.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import type { BackgroundParts } from './parts.ts'
import {
  createWork,
  serviceNames,
  SLOW_POLL_MS,
  toWorkOptions,
  wakeForRetry,
  type Work,
} from './work.ts'

/** Options of `storage.work`. */
export interface WorkerOptions {
  /**
   * Number of uploads and jobs that run at once. Default 5; one service gets half of them, or all
   * if it is the only one.
   */
  readonly concurrency?: Concurrency
  /** Stops the worker when it aborts. */
  readonly signal?: AbortSignal
}

/** A background worker. It runs until it is stopped; `await using` stops it too. */
export interface Worker extends AsyncDisposable {
  /**
   * Claims no more work, waits for running work up to `timeout` (default 25 s), then releases the
   * rest.
   */
  stop(options?: { readonly timeout?: Duration }): Promise<void>
  /** Resolves when the worker has stopped. */
  readonly done: Promise<void>
}

/** Time that running work may take after a stop. */
export const DEFAULT_STOP_TIMEOUT = '25s'
const POLL_MS = 2_000

/** Starts a worker. Throws ConfigurationError for a wrong `concurrency`. */
export function startBackgroundWorker(
  parts: BackgroundParts,
  { concurrency, signal }: WorkerOptions,
): Worker {
  const worker = new BackgroundWorker(parts, concurrency)
  if (signal?.aborted === true) void worker.stop()
  signal?.addEventListener('abort', () => void worker.stop(), { once: true })
  return worker
}

class BackgroundWorker implements Worker {
  readonly done: Promise<void>
  readonly #parts: BackgroundParts
  readonly #work: Work
  readonly #embedded: EmbeddedWorker
  readonly #queue: QueueSubscription
  /** Aborts uploads that the app's queue delivered. */
  readonly #stopDelivered = new AbortController()
  readonly #stopped = Promise.withResolvers<void>()
  #unlisten: Promise<() => Promise<void>> | undefined
  #isListening = false
  #stopping: Promise<void> | undefined

  constructor(parts: BackgroundParts, concurrency: Concurrency | undefined) {
    const { settings, wakeUps } = parts
    const limits = readConcurrency(concurrency, serviceNames(settings))
    this.#parts = parts
    this.done = this.#stopped.promise
    this.#work = createWork(parts, {
      limits,
      queue: { isDelivering: () => this.#queue.isDelivering() },
      tally: (result) => wakeForRetry(wakeUps, result),
    })
    // The queue may deliver before `subscribeToQueue` returns, so the work is made first.
    this.#queue = subscribeToQueue(
      settings.engine,
      ({ id }) => this.#work.handle(id, this.#stopDelivered.signal),
      limits.total,
      settings.log,
    )
    this.#embedded = new EmbeddedWorker({
      ...toWorkOptions(parts, this.#work, limits),
      pollEvery: () => (this.#isListening ? SLOW_POLL_MS : POLL_MS),
      subscribe: (wake) => this.#subscribe(wake),
    })
  }

  stop({ timeout = DEFAULT_STOP_TIMEOUT }: { readonly timeout?: Duration } = {}): Promise<void> {
    const milliseconds = parseDuration(timeout, 'timeout')
    return (this.#stopping ??= this.#end(milliseconds))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #subscribe(wake: () => void): () => void {
    const { settings, wakeUps } = this.#parts
    this.#unlisten = wakeUps.listen(wake, (error) => {
      this.#isListening = error === null
      if (error !== null)
        settings.log('warn', 'Notifications are not available; the worker polls until they are.', {
          error,
        })
    })
    return wakeUps.subscribe(wake)
  }

  async #end(milliseconds: number): Promise<void> {
    const timer = setTimeout(
      () => this.#stopDelivered.abort(new Error('The worker is stopping.')),
      milliseconds,
    )
    await Promise.all([
      this.#wait('The worker', this.#embedded.stop(milliseconds), milliseconds + 2 * STOP_GRACE_MS),
      this.#wait('The queue', this.#queue.stop(milliseconds), milliseconds + STOP_GRACE_MS),
    ])
    clearTimeout(timer)
    const unlistened = this.#unlisten?.then((unlisten) => unlisten())
    await Promise.all([
      this.#wait('The listener for notifications', unlistened, STOP_GRACE_MS),
      this.#wait('The heartbeat', this.#work.close(), STOP_GRACE_MS),
    ])
    this.#stopped.resolve()
  }

  #wait(part: string, ended: Promise<unknown> | undefined, milliseconds: number): Promise<void> {
    return waitQuietly(ended, milliseconds, (error) =>
      this.#parts.settings.log('warn', `${part} did not stop properly.`, { error }),
    )
  }
}
