import type { ActiveStorageError } from '../errors/errors.ts'
import { isOutage } from '../services/outages.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { RetryOptions } from './context.ts'

/** A file that could not be carried, and why. */
export interface FileFailure {
  readonly file: FileRow
  readonly error: ActiveStorageError
}

/** What becomes of an upload of which files failed. */
export interface RetryDecision {
  /** Files that are not tried again. */
  readonly final: ReadonlySet<FileRow>
  /** Whether others are. */
  readonly again: boolean
  /** Milliseconds until then. */
  readonly delay: number
  /** false: all that failed was a service that is away, which is no attempt of the files. */
  readonly isCounted: boolean
  /** Since when a service has been away, by the database's clock; 0: none is. */
  readonly unavailableSince: number
}

/** Milliseconds. A service that is away is looked at again after as long as it has been away, and at most after this. */
const MAX_OUTAGE_DELAY_MS = 300_000

/**
 * Errors of the files themselves use up attempts. Those that say that a service is away use up none: they end when that
 * has lasted for `retries.for`.
 */
export function decideRetry(
  retries: RetryOptions,
  failures: readonly FileFailure[],
  {
    attempts,
    since,
    now,
  }: { readonly attempts: number; readonly since: number; readonly now: number },
): RetryDecision {
  const outages = failures.filter(({ error }) => isOutage(error))
  const unavailableSince = outages.length === 0 ? 0 : since === 0 ? now : since
  const isFinal = ({ error }: FileFailure): boolean =>
    isOutage(error)
      ? now - unavailableSince >= retries.for
      : !error.retryable || attempts >= retries.attempts
  const final = new Set(failures.filter(isFinal).map(({ file }) => file))
  const isCounted = failures.some(({ error }) => !isOutage(error))
  const again = failures.length > final.size
  const delay = isCounted
    ? backoffDelay(retries, attempts)
    : outageDelay(retries, now - unavailableSince)
  return { final, again, delay: again ? Math.round(delay) : 0, isCounted, unavailableSince }
}

/** Doubles from `minDelay` to `maxDelay`, a quarter up or down, so that a service that comes back is not stormed. */
function backoffDelay({ minDelay, maxDelay }: RetryOptions, attempts: number): number {
  return Math.min(minDelay * 2 ** (attempts - 1), maxDelay) * (0.75 + Math.random() * 0.5)
}

/** As long as it has been away so far, which doubles too; up to a quarter less. */
export function outageDelay({ minDelay, maxDelay }: RetryOptions, elapsed: number): number {
  return (
    Math.max(minDelay, Math.min(elapsed, maxDelay, MAX_OUTAGE_DELAY_MS)) *
    (0.75 + Math.random() * 0.25)
  )
}
