import { readConcurrency, type Concurrency, type Outages } from '../delayed/places.ts'
import { endsQuietly, GRACE } from '../jobs/deadline.ts'
import { startWorker } from '../jobs/embedded.ts'
import { subscribeToQueue, type Subscription } from '../jobs/subscription.ts'
import { parseDuration, type Duration } from '../units.ts'
import type { Running } from './options.ts'
import { openWork, SLOW_POLL, wakeAt, workOptions } from './work.ts'

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
export const STOP_TIMEOUT = '25s'
const POLL = 2_000

/** Claims and runs what is due until it is stopped. */
export function startBackgroundWorker(
  options: Running,
  outages: Outages,
  { concurrency, signal }: WorkerOptions,
): Worker {
  const limits = readConcurrency(concurrency, options.services)
  const stopping = new AbortController()
  const queue: Subscription = subscribeToQueue(
    options.engine,
    (hint) => work.handle(hint.id, stopping.signal),
    limits.total,
    options.report,
  )
  const work = openWork(options, {
    limits,
    outages,
    queue,
    tally: ({ dueAt }) => wakeAt(options, dueAt),
  })
  let unlisten: Promise<() => Promise<void>> | undefined
  let listening = false
  const embedded = startWorker({
    ...workOptions(options, work, limits),
    pollEvery: () => (listening ? SLOW_POLL : POLL),
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
      quietly('The worker', embedded.stop({ timeout: milliseconds }), milliseconds + 2 * GRACE),
      quietly('The queue', queue.stop(milliseconds), milliseconds + GRACE),
    ])
    clearTimeout(timer)
    await Promise.all([
      quietly(
        'Listening',
        unlisten?.then((stopListening) => stopListening()),
        GRACE,
      ),
      quietly('The heartbeat', work.end(), GRACE),
    ])
    stopped.resolve()
  }
  let ended: Promise<void> | undefined
  const stop: Worker['stop'] = ({ timeout = STOP_TIMEOUT } = {}) => {
    const milliseconds = parseDuration(timeout, 'timeout')
    return (ended ??= end(milliseconds))
  }
  if (signal?.aborted === true) void stop()
  signal?.addEventListener('abort', () => void stop(), { once: true })
  return { stop, done: stopped.promise, [Symbol.asyncDispose]: () => stop() }
}
