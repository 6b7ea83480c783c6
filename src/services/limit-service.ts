import { formatSize } from '../errors/public-message.ts'
import { formatDuration } from '../options/units.ts'
import { countProgress, watchDownload, watchUpload } from './limit-transfer.ts'
import { runWithLimit, type CallLimit } from './run-with-limit.ts'
import type { Service } from './service.ts'

/**
 * Time limits of a service's calls, as `readTimeouts` makes them of the option `serviceTimeouts`.
 */
export interface ServiceTimeLimits {
  /**
   * A transfer must move this many bytes, or all that are left, in each stretch of `progressMs`.
   */
  readonly progressBytes: number
  /** Milliseconds in which a transfer must make progress. */
  readonly progressMs: number
  /** Limit of a call without a body. */
  readonly callMs: number
  /** Limit of a copy, of the deletion of many objects, and of joining the parts of an upload. */
  readonly copyMs: number
}

/** A service with its name in the configuration and its limits. */
interface LimitedService {
  readonly name: string
  readonly service: Service
  readonly limits: ServiceTimeLimits
}

const ADVICE = 'Check the service and the network.'

/**
 * Wraps a service so that each call ends: with ServiceUnavailableError when the service makes no
 * progress, with the signal's reason when the caller aborts. Only time spent waiting for the
 * service counts, not the caller's own reading or writing. It also works for a service that ignores
 * the signal.
 */
export function limitService(name: string, service: Service, limits: ServiceTimeLimits): Service {
  const limited = { name, service, limits }
  const call = createCall(name, limits.callMs)
  return {
    public: service.public === true,
    upload: (...given) => limitUpload(limited, ...given),
    download: (...given) => limitDownload(limited, ...given),
    delete: (key, options) =>
      call(`delete ${key}`, options?.signal, (signal) => service.delete(key, { signal })),
    exists: (key, options) =>
      call(`look for ${key}`, options?.signal, (signal) => service.exists(key, { signal })),
    url: (key, options) =>
      call(`sign a URL of ${key}`, options.signal, (signal) =>
        service.url(key, { ...options, signal }),
      ),
    urlForDirectUpload: (key, options) =>
      call(`sign a URL of ${key}`, options.signal, (signal) =>
        service.urlForDirectUpload(key, { ...options, signal }),
      ),
    ...limitOptionalCalls(limited),
  }
}

/** Limits the members that a service need not have. */
function limitOptionalCalls({
  name,
  service,
  limits,
}: LimitedService): Pick<Service, 'deletePrefixed' | 'compose' | 'copy'> {
  const call = createCall(name, limits.copyMs)
  const deletePrefixed = service.deletePrefixed?.bind(service)
  const compose = service.compose?.bind(service)
  const copy = service.copy?.bind(service)
  return {
    ...(deletePrefixed && {
      deletePrefixed: (prefix, options) =>
        call(`delete ${prefix}…`, options?.signal, (signal) => deletePrefixed(prefix, { signal })),
    }),
    ...(compose && {
      compose: (sources, key, options) =>
        call(`compose ${key}`, options?.signal, (signal) =>
          compose(sources, key, { ...options, signal }),
        ),
    }),
    ...(copy && {
      copy: (source, key, options) =>
        call(`copy ${source}`, options?.signal, (signal) => copy(source, key, { signal })),
    }),
  }
}

/**
 * Returns a function that runs calls without a body within a limit. `action` completes "The service
 * did not …".
 */
function createCall(name: string, limitMs: number) {
  return <T>(
    action: string,
    signal: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    const late = `The service ${name} did not ${action} within ${formatDuration(limitMs)}. ${ADVICE}`
    return runWithLimit({ name, limitMs, signal, late }, run)
  }
}

/** Limits of a transfer, which are renewed with its progress. */
function limitTransfer(
  { name, limits: { progressBytes, progressMs } }: LimitedService,
  key: string,
  signal: AbortSignal | undefined,
): CallLimit {
  const late = `The service ${name} moved less than ${formatSize(progressBytes)} of ${key} in ${formatDuration(progressMs)}. ${ADVICE}`
  return { name, limitMs: progressMs, signal, late }
}

function limitUpload(
  limited: LimitedService,
  ...[key, body, options]: Parameters<Service['upload']>
): Promise<void> {
  const { progressBytes, copyMs } = limited.limits
  return runWithLimit(limitTransfer(limited, key, options.signal), (signal, clock) => {
    const moved = countProgress(clock, progressBytes)
    const bytes = watchUpload(body, { clock, signal, moved }, progressBytes)
    const finish = <T>(running: Promise<T>): Promise<T> => {
      clock.renew(copyMs)
      return running.finally(() => clock.renew())
    }
    return limited.service.upload(key, bytes, {
      ...options,
      signal,
      progress: { sent: moved, finish },
    })
  })
}

async function limitDownload(
  limited: LimitedService,
  ...[key, options = {}]: Parameters<Service['download']>
): Promise<AsyncIterable<Uint8Array>> {
  const transfer = new AbortController()
  const signal =
    options.signal === undefined
      ? transfer.signal
      : AbortSignal.any([options.signal, transfer.signal])
  const limit = limitTransfer(limited, key, signal)
  try {
    const bytes = await runWithLimit(limit, (callSignal) =>
      limited.service.download(key, { ...options, signal: callSignal }),
    )
    return watchDownload(bytes, limit, limited.limits.progressBytes, transfer)
  } catch (error) {
    transfer.abort(error)
    throw error
  }
}
