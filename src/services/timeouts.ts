import { checkOptions } from '../options/check-options.ts'
import { parseDuration, parseSize, type Duration, type Size } from '../options/units.ts'
import type { ServiceTimeLimits } from './limit-service.ts'

/** Only the time in which the service itself is waited for counts. */
export interface ServiceTimeouts {
  /** A transfer moves at least `bytes`, or all that are left, in every stretch of `within`. Default '64 KB' in '60s'. */
  readonly progress?: { readonly bytes?: Size; readonly within?: Duration }
  /** A call without a body, such as `exists` or `delete`, ends within this time. Default '60s'. */
  readonly call?: Duration
  /** A copy, a deletion of many objects and the call that completes an upload in parts end within this time. Default '10m'. */
  readonly copy?: Duration
}

/** Throws ConfigurationError on what is none. */
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
