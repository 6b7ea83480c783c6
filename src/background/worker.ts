import { readConcurrency, type Concurrency, type Outages } from '../delayed/concurrency-limits.ts'
import { endsQuietly, STOP_GRACE_MS } from '../async/deadline.ts'
import { startWorker } from '../jobs/embedded-worker.ts'
import { subscribeToQueue, type QueueSubscription } from '../jobs/queue-subscription.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import type { Running } from './options.ts'
import { createWork, SLOW_POLL_MS, wakeAt, toWorkOptions } from './work.ts'

/** Of `storage.work`. */
export interface WorkerOptions {
  /** Pieces of work at once. Default 5, of which one service takes half, or all where there is one. */
  readonly concurrency?: Concurrency
  /** Stops the worker when it aborts. */
  readonly signal?: AbortSignal
}

/** What works in the background, until it is stopped. `await using` stops it too. */
export interface Worker extends AsyncDisposable {
  /** Takes no more work, waits for what runs, then gives back what is left. Default 25 s. */
  stop(options?: { readonly timeout?: Duration }): Promise<void>
  /** Resolves when the worker has stopped. */
  readonly done: Promise<void>
}

/** How long what runs may go on after a stop. */
export const DEFAULT_STOP_TIMEOUT = '25s'
const POLL_MS = 2_000

/** Claims and runs what is due until it is stopped. */
export function startBackgroundWorker(
  options: Running,
  outages: Outages,
  { concurrency, signal }: WorkerOptions,
): Worker {
  const limits = readConcurrency(concurrency, options.services)
  const stopping = new AbortController()
  const queue: QueueSubscription = subscribeToQueue(
    options.engine,
    (hint) => work.handle(hint.id, stopping.signal),
    limits.total,
    options.report,
  )
  const work = createWork(options, {
    limits,
    outages,
    queue,
    tally: ({ dueAt }) => wakeAt(options, dueAt),
  })
  let unlisten: Promise<() => Promise<void>> | undefined
  let listening = false
  const embedded = startWorker({
    ...toWorkOptions(options, work, limits),
    pollEvery: () => (listening ? SLOW_POLL_MS : POLL_MS),
    wakes: {
      subscribe: (woken) => {
        options.wakers.add(woken)
        unlisten = options.database.listen?.(options.channel, woken, (error) => {
          listening = error === null
          if (error !== null)
            options.report(
              'warn',
              'Notifications are not available; the worker polls until they are.',
              { error },
            )
        })
        return () => options.wakers.delete(woken)
      },
    },
  })
  const stopped = Promise.withResolvers<void>()
  const end = async (milliseconds: number): Promise<void> => {
    const timer = setTimeout(
      () => stopping.abort(new Error('The worker is stopping.')),
      milliseconds,
    )
    const quietly = endsQuietly((message, error) => options.report('warn', message, { error }))
    await Promise.all([
      quietly(
        'The worker',
        embedded.stop({ timeout: milliseconds }),
        milliseconds + 2 * STOP_GRACE_MS,
      ),
      quietly('The queue', queue.stop(milliseconds), milliseconds + STOP_GRACE_MS),
    ])
    clearTimeout(timer)
    await Promise.all([
      quietly(
        'Listening',
        unlisten?.then((stopListening) => stopListening()),
        STOP_GRACE_MS,
      ),
      quietly('The heartbeat', work.close(), STOP_GRACE_MS),
    ])
    stopped.resolve()
  }
  let ended: Promise<void> | undefined
  const stop: Worker['stop'] = ({ timeout = DEFAULT_STOP_TIMEOUT } = {}) => {
    const milliseconds = parseDuration(timeout, 'timeout')
    return (ended ??= end(milliseconds))
  }
  if (signal?.aborted === true) void stop()
  signal?.addEventListener('abort', () => void stop(), { once: true })
  return { stop, done: stopped.promise, [Symbol.asyncDispose]: () => stop() }
}
