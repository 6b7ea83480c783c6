import { ServiceUnavailableError } from '../errors/errors.ts'
import { toUnavailableError } from './outages.ts'
import { createStopwatch, type Stopwatch } from './stopwatch.ts'

/** Extra time for a call to end after its signal aborted. */
export const ABORT_GRACE_MS = 1_000

/** Limits of one call of a service. */
export interface CallLimit {
  /** Name of the service in errors. */
  readonly name: string
  readonly limitMs: number
  /** Signal of the caller. */
  readonly signal: AbortSignal | undefined
  /** Message of the error when the limit has passed. */
  readonly late: string
}

/** Calls that were abandoned before they settled, by the error that their callers got. */
const abandonedCalls = new WeakMap<object, Promise<unknown>>()

/**
 * Settles when the service has settled the call that failed with this error. Until then it may
 * still store its object.
 */
export async function waitForAbandonedCall(error: unknown): Promise<void> {
  if (error instanceof ServiceUnavailableError)
    await Promise.allSettled([abandonedCalls.get(error)])
}

/** Returns true when the call was abandoned before it settled, so that it may have succeeded. */
export function isOutcomeUnknown(error: unknown): boolean {
  return error instanceof ServiceUnavailableError && abandonedCalls.has(error)
}

/**
 * Runs a call and abandons it when the limit has passed, or when the signal has aborted and the
 * call does not end. Only the time in which the stopwatch runs counts. Throws
 * ServiceUnavailableError when the limit has passed, or the error of the call.
 */
export async function runWithLimit<T>(
  { name, limitMs, signal, late }: CallLimit,
  run: (signal: AbortSignal, clock: Stopwatch) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  const own = new AbortController()
  const abandoned = Promise.withResolvers<never>()
  const abandon = (message: string): void => {
    const error = new ServiceUnavailableError(message)
    abandonedCalls.set(error, running)
    own.abort(error)
    abandoned.reject(error)
  }
  const clock = createStopwatch(limitMs, () => abandon(late))
  let graceTimer: NodeJS.Timeout | undefined
  const onAbort = (): void => {
    clock.stop()
    graceTimer = setTimeout(
      () => abandon(`The service ${name} did not end a call that was aborted.`),
      ABORT_GRACE_MS,
    )
  }
  signal?.addEventListener('abort', onAbort, { once: true })
  clock.start()
  // An async function, because a service may throw before it returns a promise.
  const running = (async () =>
    run(signal === undefined ? own.signal : AbortSignal.any([signal, own.signal]), clock))()
  try {
    return await Promise.race([running, abandoned.promise])
  } catch (error) {
    throw own.signal.aborted ? own.signal.reason : toUnavailableError(error, name)
  } finally {
    clock.stop()
    clearTimeout(graceTimer)
    signal?.removeEventListener('abort', onAbort)
  }
}
