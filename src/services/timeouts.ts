import { checkOptions } from '../options/check-options.ts'
import { parseDuration, parseSize, type Duration, type Size } from '../options/units.ts'
import type { ServiceTimeLimits } from './limit-service.ts'

/** Time limits of each service. Only time spent waiting for the service counts. */
export interface ServiceTimeouts {
  /**
   * A transfer must move `bytes`, or all that are left, in each stretch of `within`. Default '64
   * KB' in '60s'.
   */
  readonly progress?: { readonly bytes?: Size; readonly within?: Duration }
  /** Limit of a call without a body, such as `exists` or `delete`. Default '60s'. */
  readonly call?: Duration
  /**
   * Limit of a copy, of the deletion of many objects, and of the call that completes an upload in
   * parts. Default '10m'.
   */
  readonly copy?: Duration
}

/**
 * Parses the option `serviceTimeouts`. Throws ConfigurationError on unknown names and invalid
 * values.
 */
export function readTimeouts({ progress, call, copy }: ServiceTimeouts = {}): ServiceTimeLimits {
  if (progress !== undefined)
    checkOptions(progress, ['bytes', 'within'], 'createActiveStorage: serviceTimeouts.progress')
  return {
    progressBytes: parseSize(progress?.bytes ?? '64 KB', 'serviceTimeouts.progress.bytes'),
    progressMs: parseDuration(progress?.within ?? '60s', 'serviceTimeouts.progress.within'),
    callMs: parseDuration(call ?? '60s', 'serviceTimeouts.call'),
    copyMs: parseDuration(copy ?? '10m', 'serviceTimeouts.copy'),
  }
}
