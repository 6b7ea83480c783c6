import type { AfterRefusalLimits } from '../attached/context.ts'
import { parseDuration, parseSize, type Duration, type Size } from '../options/units.ts'

/**
 * How much of a refused request is read on and thrown away before it is answered. A client that has more to send gets the
 * answer at once, and its connection is closed. Of what is answered with 401 or 403 it is never more than 1 MB and 5 s.
 */
export interface AfterRefusalOptions {
  /** Default '64 MB'. */
  readonly maxBytes?: Size
  /** Default '30s'. */
  readonly timeout?: Duration
}

/** Throws ConfigurationError. */
export function readAfterRefusal({
  maxBytes = '64 MB',
  timeout = '30s',
}: AfterRefusalOptions = {}): AfterRefusalLimits {
  return {
    maxBytes: parseSize(maxBytes, 'afterRefusal.maxBytes'),
    timeout: parseDuration(timeout, 'afterRefusal.timeout'),
  }
}

/** Of who is not known, or may not: nobody waits long for a stranger. */
export function limitsForStatus(status: number, given: AfterRefusalLimits): AfterRefusalLimits {
  if (status !== 401 && status !== 403) return given
  return { maxBytes: Math.min(given.maxBytes, 1024 ** 2), timeout: Math.min(given.timeout, 5000) }
}
