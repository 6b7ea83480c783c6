import { ServiceUnavailableError } from '../errors/errors.ts'
import { createInterruption } from '../async/interruption.ts'
import { formatSize } from '../errors/public-message.ts'
import type { Service, UploadProgress } from './service.ts'
import { createStopwatch, type Stopwatch } from './stopwatch.ts'
import { toUnavailableError } from './outages.ts'

/** How long services are waited for, in milliseconds. */
export interface ServiceTimeLimits {
  /** A transfer moves at least so many bytes, or all that are left, in every `within` of the service's own time. */
  readonly progressBytes: number
  readonly progressMs: number
  /** Of a call without a body. */
  readonly callMs: number
  /** Of copies and deletions of many objects, and of what puts the parts of an upload together. */
  readonly copyMs: number
}

/** What was told to end has this long before it is left behind. */
const ABORT_GRACE_MS = 1_000

interface CallLimit {
  readonly limit: number
  readonly signal: AbortSignal | undefined
  readonly late: string
}

/**
 * A service whose calls end: with a ServiceUnavailableError when the service does not move on, with the signal's reason
 * when the caller gives up. Only the time in which the service is waited for counts, not that of the caller's own bytes
 * or of a slow reader. It holds for every service, also for one that hears no signal.
 */
export function limitService(name: string, service: Service, limits: ServiceTimeLimits): Service {
  const seconds = (milliseconds: number): string => `${milliseconds / 1000} s`
  const advice = 'Look whether the service, and the way to it, work.'
  const stuck = (key: string): string =>
    `The service ${name} moved less than ${formatSize(limits.progressBytes)} of ${key} in ${seconds(limits.progressMs)}. ${advice}`
  const call = <T>(
    what: string,
    signal: AbortSignal | undefined,
    limit: number,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> =>
    runWithLimit(
      name,
      {
        limit,
        signal,
        late: `The service ${name} did not ${what} within ${seconds(limit)}. ${advice}`,
      },
      run,
    )
  return {
    public: service.public === true,
    upload: (key, body, options) =>
      runWithLimit(
        name,
        { limit: limits.progressMs, signal: options.signal, late: stuck(key) },
        (signal, clock) => {
          const moved = countProgress(clock, limits.progressBytes)
          const progress: UploadProgress = {
            sent: moved,
            finishing: (running) => {
              clock.renew(limits.copyMs)
              return running.finally(() => clock.renew())
            },
          }
          return service.upload(
            key,
            watchUpload(body, clock, moved, signal, limits.progressBytes),
            {
              ...options,
              signal,
              progress,
            },
          )
        },
      ),
    async download(key, options = {}) {
      const transfer = new AbortController()
      const signal =
        options.signal === undefined
          ? transfer.signal
          : AbortSignal.any([options.signal, transfer.signal])
      const bytes = await runWithLimit(
        name,
        { limit: limits.progressMs, signal, late: stuck(key) },
        (signal) => service.download(key, { ...options, signal }),
      ).catch((error: unknown) => {
        transfer.abort(error)
        throw error
      })
      return watchDownload(
        name,
        bytes,
        { limit: limits.progressMs, signal, late: stuck(key) },
        limits.progressBytes,
        transfer,
      )
    },
    delete: (key, options) =>
      call(`delete ${key}`, options?.signal, limits.callMs, (signal) =>
        service.delete(key, { signal }),
      ),
    deletePrefixed: (prefix, options) =>
      call(`delete ${prefix}…`, options?.signal, limits.copyMs, (signal) =>
        service.deletePrefixed(prefix, { signal }),
      ),
    exists: (key, options) =>
      call(`look for ${key}`, options?.signal, limits.callMs, (signal) =>
        service.exists(key, { signal }),
      ),
    compose: (sources, key, options) =>
      call(`compose ${key}`, options?.signal, limits.copyMs, (signal) =>
        service.compose(sources, key, { ...options, signal }),
      ),
    copy: (source, key, options) =>
      call(`copy ${source}`, options?.signal, limits.copyMs, (signal) =>
        service.copy(source, key, { ...options, signal }),
      ),
    url: (key, options) =>
      call(`sign a URL of ${key}`, undefined, limits.callMs, () => service.url(key, options)),
    urlForDirectUpload: (key, options) =>
      call(`sign a URL of ${key}`, undefined, limits.callMs, () =>
        service.urlForDirectUpload(key, options),
      ),
  }
}

const abandonedCalls = new WeakMap<object, Promise<unknown>>()

/** Settles when the service itself has ended the call that failed with this error; until then it may still store its object. */
export function waitForAbandonedCall(error: unknown): Promise<unknown> {
  return (
    (error instanceof ServiceUnavailableError ? abandonedCalls.get(error) : undefined) ??
    Promise.resolve()
  )
}

/** Whether nobody knows how the call ended: it was given up before the service said so. */
export function isOutcomeUnknown(error: unknown): boolean {
  return error instanceof ServiceUnavailableError && abandonedCalls.has(error)
}

/** Ends when it is late or given up, whether the service returns or not. */
async function runWithLimit<T>(
  name: string,
  { limit, signal: given, late }: CallLimit,
  run: (signal: AbortSignal, clock: Stopwatch) => Promise<T>,
): Promise<T> {
  given?.throwIfAborted()
  const own = new AbortController()
  const end = Promise.withResolvers<never>()
  const leave = (text: string): void => {
    const error = new ServiceUnavailableError(text)
    abandonedCalls.set(error, running)
    own.abort(error)
    end.reject(error)
  }
  const clock = createStopwatch(limit, () => leave(late))
  let grace: NodeJS.Timeout | undefined
  const giveUp = (): void => {
    clock.stop()
    grace = setTimeout(
      () => leave(`The service ${name} did not end when it was told to.`),
      ABORT_GRACE_MS,
    )
  }
  given?.addEventListener('abort', giveUp, { once: true })
  clock.start()
  // A service of the app's own may throw before it returns a promise.
  const running = (async () =>
    run(given === undefined ? own.signal : AbortSignal.any([given, own.signal]), clock))()
  try {
    return await Promise.race([running, end.promise])
  } catch (error) {
    throw own.signal.aborted ? own.signal.reason : toUnavailableError(error, name)
  } finally {
    clock.stop()
    clearTimeout(grace)
    given?.removeEventListener('abort', giveUp)
  }
}

/** Counts bytes that moved; as many as are asked for begin a new stretch of time. */
function countProgress(clock: Stopwatch, bytes: number): (count: number) => void {
  let moved = 0
  return (count) => {
    moved += count
    if (moved < bytes) return
    moved = 0
    clock.renew()
  }
}

/**
 * The bytes of an upload, in pieces small enough to see that they move on. The clock stands while the next ones are read,
 * and a call that was given up gets no more of them.
 */
async function* watchUpload(
  body: AsyncIterable<Uint8Array>,
  clock: Stopwatch,
  moved: (count: number) => void,
  signal: AbortSignal,
  size: number,
): AsyncGenerator<Uint8Array> {
  clock.pause()
  try {
    for await (const chunk of body) {
      clock.start()
      for (let at = 0; at < chunk.length; at += size) {
        const piece = chunk.subarray(at, at + size)
        signal.throwIfAborted()
        yield piece
        moved(piece.length)
      }
      signal.throwIfAborted()
      clock.pause()
    }
    // All that is left is the answer: it has its own stretch of time.
    clock.renew()
  } finally {
    clock.start()
  }
}

/** The bytes of a download. The clock stands while their reader is busy with them. */
async function* watchDownload(
  name: string,
  bytes: AsyncIterable<Uint8Array>,
  { limit, signal, late }: CallLimit,
  size: number,
  transfer: AbortController,
): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]()
  const { interrupt, wait } = createInterruption()
  const clock = createStopwatch(limit, () => {
    const error = new ServiceUnavailableError(late)
    transfer.abort(error)
    interrupt(error)
  })
  const giveUp = (): void => interrupt(signal?.reason)
  signal?.addEventListener('abort', giveUp, { once: true })
  const moved = countProgress(clock, size)
  let isOver = false
  try {
    for (;;) {
      signal?.throwIfAborted()
      clock.start()
      const next = await wait(iterator.next()).catch((error: unknown) => {
        isOver = true
        throw toUnavailableError(error, name)
      })
      clock.pause()
      if (next.done === true) {
        isOver = true
        return
      }
      moved(next.value.length)
      yield next.value
    }
  } finally {
    clock.stop()
    signal?.removeEventListener('abort', giveUp)
    // A reader that leaves early: the service's own clean-up, which is not waited for where it may hang.
    if (!isOver)
      await Promise.race([
        iterator.return?.(),
        new Promise((resolve) => setTimeout(resolve, ABORT_GRACE_MS).unref()),
      ])
  }
}
