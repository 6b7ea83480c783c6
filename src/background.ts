import { purgeBlob } from './attachments/purge.ts'
import type { Database } from './database/database.ts'
import type { Delayed, Report } from './delayed/definition.ts'
import { directUploads, type DirectUploads } from './delayed/direct.ts'
import type { WaitingOptions } from './delayed/direct-options.ts'
import { deleteObject } from './delayed/delete-object.ts'
import { createPlaces, runIn, readConcurrency, type Concurrency, type Outages, type PlaceLimits, type Places } from './delayed/places.ts'
import { uploadWork } from './delayed/sources.ts'
import { uploadStats } from './delayed/stats.ts'
import type { RunResult } from './delayed/settle.ts'
import type { SweepResult } from './delayed/sweep.ts'
import { ServiceUnavailableError, type ActiveStorageError } from './errors.ts'
import { endsQuietly, endsWithin, GRACE } from './jobs/deadline.ts'
import { drainSources, startWorker, type WorkOptions } from './jobs/embedded.ts'
import type { JobEngine } from './jobs/engine.ts'
import { createLeases, type Leases } from './jobs/leases.ts'
import { jobSource } from './jobs/runners.ts'
import type { Source } from './jobs/source.ts'
import { subscribeToQueue, type Subscription } from './jobs/subscription.ts'
import { checkOptions } from './options.ts'
import { parseDuration, type Duration } from './units.ts'
import { uuidv7 } from './uuid.ts'

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

/** Of `storage.drain`. */
export interface DrainOptions extends WorkerOptions {
  /** What is not done by then is given back. Default: none. */
  readonly timeout?: Duration
  /** Throws the first failure when all is done. */
  readonly throwOnError?: boolean
}

/** Counts of uploads, each of which may be of several files. */
export interface DrainResult {
  readonly uploaded: number
  /** Failed, and are due again later. */
  readonly retried: number
  /** Failed for good; kept for a person. */
  readonly failed: number
  /** Pending ones that are not due yet, or were left by the timeout. */
  readonly remaining: number
}

export interface BackgroundOptions {
  ready(): Promise<Delayed>
  readonly database: Pick<Database<never, boolean>, 'listen'>
  /** Of PostgreSQL's notifications. */
  readonly channel: string
  /** In-process wake-ups are called here. */
  readonly wakers: Set<() => void>
  wake(): void
  sweep(stopping?: AbortSignal): Promise<SweepResult>
  readonly report: Report
  readonly engine: JobEngine | null
  /** How long a save waits for what it attaches directly. */
  readonly waiting: WaitingOptions
  /** Names of those that are configured, and of those that attachments go to. */
  readonly services: { readonly all: readonly string[]; readonly used: readonly string[] }
}

/** `ended` is told whenever an upload of this process has ended. */
type Running = BackgroundOptions & { readonly ended: () => void }

export interface Background {
  readonly direct: DirectUploads
  work(options?: WorkerOptions): Worker
  drain(options?: DrainOptions): Promise<DrainResult>
  stopAll(): Promise<void>
}

const STOP = '25s'
const POLL = 2_000
/** Where something tells of new work, polling is only for what it missed. */
const SLOW_POLL = 30_000

/** What runs behind the app's back, and only when it is asked to. */
export function background(given: BackgroundOptions): Background {
  const running = new Set<Worker>()
  const looks = new Set<() => void>()
  const options: Running = { ...given, ended: () => looks.forEach((look) => look()) }
  const { ready, report, waiting, wake } = options
  const outages: Outages = new Map()
  const tally = ({ dueAt }: RunResult): void => {
    wakeAt(options, dueAt)
    // What it replaced is to be purged.
    wake()
  }
  const own = lazily(options, { limits: { total: Infinity, of: () => Infinity }, outages, queue: null, tally })
  const direct = directUploads({ ready, take: (token, stopping) => own.take(token, stopping), looks, waiting, report })
  return {
    direct,
    work(given = {}) {
      checkOptions(given, ['concurrency', 'signal'], 'work')
      const worker = startBackground(options, outages, given)
      running.add(worker)
      void worker.done.then(() => running.delete(worker))
      return worker
    },
    async drain(given = {}) {
      checkOptions(given, ['concurrency', 'signal', 'timeout', 'throwOnError'], 'drain')
      return drain(options, outages, given)
    },
    async stopAll() {
      await Promise.all([direct.stop(parseDuration(STOP, 'timeout')), ...[...running].map((worker) => worker.stop())])
      await endsWithin(own.end(), GRACE)
    },
  }
}

function startBackground(options: Running, outages: Outages, { concurrency, signal }: WorkerOptions): Worker {
  const limits = readConcurrency(concurrency, options.services)
  const stopping = new AbortController()
  const queue: Subscription = subscribeToQueue(
    options.engine,
    (hint) => work.handle(hint.id, stopping.signal),
    limits.total,
    options.report,
  )
  const work = lazily(options, { limits, outages, queue, tally: ({ dueAt }) => wakeAt(options, dueAt) })
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
          if (error !== null) options.report('warn', 'Notifications are not available; the worker polls until they are.', { error })
        })
        return () => options.wakers.delete(woken)
      },
    },
  })
  const stopped = Promise.withResolvers<void>()
  const end = async (milliseconds: number): Promise<void> => {
    const timer = setTimeout(() => stopping.abort(new Error('The worker is stopping.')), milliseconds)
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
  const stop: Worker['stop'] = ({ timeout = STOP } = {}) => {
    const milliseconds = parseDuration(timeout, 'timeout')
    return (ended ??= end(milliseconds))
  }
  if (signal?.aborted === true) void stop()
  signal?.addEventListener('abort', () => void stop(), { once: true })
  return { stop, done: stopped.promise, [Symbol.asyncDispose]: () => stop() }
}

/** Where nothing tells of it, a retry that is due sooner than the next poll is looked for in time. */
function wakeAt({ wake }: BackgroundOptions, dueAt: number = Infinity): void {
  const wait = dueAt - performance.now()
  if (wait < SLOW_POLL) setTimeout(wake, wait).unref()
}

async function drain(
  options: Running,
  outages: Outages,
  { concurrency, timeout, signal, throwOnError = false }: DrainOptions,
): Promise<DrainResult> {
  const limits = readConcurrency(concurrency, options.services)
  const count = { uploaded: 0, retried: 0, failed: 0 }
  let first: ActiveStorageError | undefined
  const tally = ({ outcome, error }: Pick<RunResult, 'outcome' | 'error'>): void => {
    if (outcome in count) count[outcome as keyof typeof count] += 1
    first ??= error
  }
  const work = lazily(options, { limits, outages, queue: null, tally })
  const sweep = async (stopping?: AbortSignal): Promise<void> => {
    const { failed } = await options.sweep(stopping)
    for (const error of failed) tally({ outcome: 'failed', error })
  }
  const ends = [signal, timeout === undefined ? undefined : AbortSignal.timeout(parseDuration(timeout, 'timeout'))]
  const until = AbortSignal.any(ends.filter((end) => end !== undefined))
  /** Where the time is over, also a database that does not answer is not waited for. */
  const inTime = async <T>(running: Promise<T>): Promise<T> => {
    if (!until.aborted || (await endsWithin(running, GRACE))) return running
    throw new ServiceUnavailableError('The database did not answer before the time was over. What was not done is given back by itself.')
  }
  try {
    await drainSources({ ...workOptions(options, work, limits), sweep }, until)
  } finally {
    await inTime(work.end())
  }
  if (throwOnError && first !== undefined) throw first
  const { pending, running } = await inTime(options.ready().then(({ store }) => uploadStats(store)))
  return { ...count, remaining: pending + running }
}

interface Work {
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
function lazily(options: Running, { limits, outages, queue, tally }: Terms): Work {
  let room: Promise<{ delayed: Delayed; store: Delayed['store']; leases: Leases; places: Places }> | undefined
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
        await (await ready()).store.transact((session) => purgeBlob(session, job.arguments['blob'] ?? ''))
        options.wake()
        return null
      },
      'delete-object': async (job, signal) => {
        const { delayed, places } = await ready()
        return runIn(places, job.arguments['service'] ?? '', () => deleteObject(delayed.store, delayed.services, job, signal))
      },
    },
    (job, error) => options.report('warn', `The job ${job.name} failed and is tried again.`, { job: job.id, attempt: job.attempts, error }),
  )
  return {
    // Where the app has a queue, it brings uploads to workers; a drain looks for all that is due by itself.
    sources: [
      { name: 'uploads', claim: async (limit) => (queue?.delivers() === true ? [] : uploads.uploads.claim(limit)) },
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

function workOptions(options: BackgroundOptions, { sources }: Work, { total }: PlaceLimits): WorkOptions {
  return {
    sources,
    concurrency: total,
    sweep: options.sweep,
    onError: (message, error) => options.report('error', message, { error }),
  }
}
