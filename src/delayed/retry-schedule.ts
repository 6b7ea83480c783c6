import type { ActiveStorageError } from '../errors/errors.ts'
import { isOutage } from '../services/outages.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { RetryOptions } from './context.ts'

/** A file that could not be uploaded, and the error. */
export interface FileFailure {
  readonly file: FileRow
  readonly error: ActiveStorageError
}

/** The next step of an upload after the failures of one attempt. */
export interface RetryDecision {
  /** Files that are not retried. */
  readonly final: ReadonlySet<FileRow>
  /** true: other files are retried. */
  readonly isRetried: boolean
  /** Milliseconds to the retry; 0: there is none. */
  readonly delay: number
  /** false: each failure was an outage of a service, and the attempt does not count. */
  readonly isCounted: boolean
  /** Since when a service has been unavailable, by the database's clock; 0: none is. */
  readonly unavailableSince: number
}

/** The attempt that failed. Times are in milliseconds by the database's clock. */
export interface FailedAttemptTimes {
  /** Attempts up to now, with this one. */
  readonly attempts: number
  /** Since when a service was unavailable before this attempt; 0: none was. */
  readonly since: number
  readonly now: number
}

/** Returns a number from 0 to less than 1. */
export type Random = () => number

const MAX_OUTAGE_DELAY_MS = 300_000

/**
 * Decides what is retried, and when. A file's own error is final when no attempt is left, or when
 * it is not retryable. An outage of a service counts no attempt, and is final when it has lasted
 * for `retries.for`.
 */
export function decideRetry(
  retries: RetryOptions,
  failures: readonly FileFailure[],
  { attempts, since, now }: FailedAttemptTimes,
  random: Random = Math.random,
): RetryDecision {
  const hasOutage = failures.some(({ error }) => isOutage(error))
  const unavailableSince = !hasOutage ? 0 : since === 0 ? now : since
  const isFinal = ({ error }: FileFailure): boolean =>
    isOutage(error)
      ? now - unavailableSince >= retries.for
      : !error.retryable || attempts >= retries.attempts
  const final = new Set(failures.filter(isFinal).map(({ file }) => file))
  const isRetried = failures.length > final.size
  const isCounted = failures.some(({ error }) => !isOutage(error))
  const delay = isCounted
    ? backoffDelay(retries, attempts, random)
    : outageDelay(retries, now - unavailableSince, random)
  return {
    final,
    isRetried,
    delay: isRetried ? Math.round(delay) : 0,
    isCounted,
    unavailableSince,
  }
}

/**
 * Milliseconds to the next attempt: they double from `minDelay` to `maxDelay`. They vary by a
 * quarter up or down, so that not all uploads come at once.
 */
function backoffDelay(
  { minDelay, maxDelay }: RetryOptions,
  attempts: number,
  random: Random,
): number {
  return Math.min(minDelay * 2 ** (attempts - 1), maxDelay) * (0.75 + random() * 0.5)
}

/**
 * Milliseconds until an unavailable service is tried again: as long as the outage has lasted, from
 * `minDelay` to `maxDelay` or 5 minutes, less up to a quarter. So the delays double too.
 */
export function outageDelay(
  { minDelay, maxDelay }: RetryOptions,
  elapsed: number,
  random: Random = Math.random,
): number {
  const delay = Math.max(minDelay, Math.min(elapsed, maxDelay, MAX_OUTAGE_DELAY_MS))
  return delay * (0.75 + random() * 0.25)
}
