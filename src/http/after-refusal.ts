import type { AfterRefusalLimits } from '../attached/context.ts'
import { parseDuration, parseSize, type Duration, type Size } from '../options/units.ts'

/**
 * Limits of a refused request's body that is read and thrown away before the response. A client
 * that has more to send gets the response at once, and then its connection is closed. A response of
 * 401 or 403 reads at most 1 MB for 5 seconds.
 */
export interface AfterRefusalOptions {
  /** Default '64 MB'. */
  readonly maxBytes?: Size
  /** Default '30s'. */
  readonly timeout?: Duration
}

/** Parses the options with their defaults. Throws ConfigurationError. */
export function readAfterRefusal({
  maxBytes = '64 MB',
  timeout = '30s',
}: AfterRefusalOptions = {}): AfterRefusalLimits {
  return {
    maxBytes: parseSize(maxBytes, 'afterRefusal.maxBytes'),
    timeout: parseDuration(timeout, 'afterRefusal.timeout'),
  }
}

/**
 * Returns the limits for a status. Those for 401 and 403 are lower, so that strangers cannot keep
 * connections busy.
 */
export function limitsForStatus(status: number, limits: AfterRefusalLimits): AfterRefusalLimits {
  if (status !== 401 && status !== 403) return limits
  return {
    maxBytes: Math.min(limits.maxBytes, 1024 ** 2),
    timeout: Math.min(limits.timeout, 5000),
  }
}
