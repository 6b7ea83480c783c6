import { ConfigurationError, ServiceUnavailableError } from '../errors/errors.ts'
import { formatList } from '../errors/message.ts'
import { checkOptions } from '../options/check-options.ts'
import type { RetryOptions } from './context.ts'
import { outageDelay, type Random } from './retry-schedule.ts'

/**
 * Number of uploads and other jobs that one worker or drain runs at once. A number is the total.
 * Direct attaches have limits of their own.
 */
export type Concurrency =
  | number
  | {
      /** Work of any kind. Default: 5. */
      readonly total?: number
      /**
       * Uploads and deletions of one service. Default: half of the total, or all of it if
       * attachments use one service only.
       */
      readonly perService?: number
      /** The same for single services, by name. */
      readonly services?: Readonly<Record<string, number>>
    }

/** The limits of a worker or drain, read from its `concurrency` option. */
export interface ConcurrencySettings {
  readonly total: number
  forService(service: string): number
}

/** Reads the option. Throws ConfigurationError if a number or a name is wrong. */
export function readConcurrency(
  given: Concurrency = {},
  names: { readonly all: readonly string[]; readonly used: readonly string[] },
): ConcurrencySettings {
  if (typeof given !== 'number')
    checkOptions(given, ['total', 'perService', 'services'], 'concurrency')
  const {
    total = 5,
    perService,
    services = {},
  } = typeof given === 'number' ? { total: given } : given
  if (typeof services !== 'object' || services === null)
    throw new ConfigurationError('concurrency.services must be an object such as { amazon: 16 }.')
  const counts: readonly (readonly [string, number | undefined])[] = [
    [typeof given === 'number' ? 'concurrency' : 'concurrency.total', total],
    ['concurrency.perService', perService],
    ...Object.entries(services).map(
      ([name, count]) => [`concurrency.services.${name}`, count] as const,
    ),
  ]
  for (const [name, count] of counts)
    if (count !== undefined && !(Number.isInteger(count) && count > 0))
      throw new ConfigurationError(`${name} must be a whole number above 0.`)
  for (const name of Object.keys(services))
    if (!names.all.includes(name))
      throw new ConfigurationError(
        `concurrency.services names '${name}', which is not among ${formatList(names.all)}.`,
      )
  const usual = perService ?? (names.used.length < 2 ? total : Math.ceil(total / 2))
  return { total, forService: (service) => services[service] ?? usual }
}

/**
 * The outages of a process, by service: since when, and until when the service is not tried. Times
 * are of `performance.now()`.
 */
export type Outages = Map<string, { readonly since: number; readonly until: number }>

/** State of a service, as a piece of work has just seen it. */
export type ServiceObservation = 'available' | 'unavailable' | 'unknown'

/** Returns a permit, with what the work showed of the service. */
export type ReleasePermit = (observed: ServiceObservation) => void

/**
 * The permits of one worker or drain. Direct attaches have permits of their own. A slow or unavailable service uses up its own permits,
 * never those of other services.
 */
export interface ConcurrencyLimits {
  /**
   * How many more pieces of work may start for the service. An unavailable service gets one at a
   * time, with delays that grow.
   */
  capacity(service: string): number
  /** Takes a permit. */
  acquire(service: string): ReleasePermit
  /** When an unavailable service is tried again, by `performance.now()`; 0: it is available. */
  unavailableUntil(service: string): number
  /** Milliseconds until the service may have capacity again. */
  retryDelay(service: string): number
}

/** Runs a job with a permit of its service. Returns the milliseconds to postpone it; null: done. */
export async function runWithPermit(
  limits: ConcurrencyLimits,
  service: string,
  run: () => Promise<number | null>,
): Promise<number | null> {
  // Claims leave out a service without capacity, so that this job does not come back at once.
  if (limits.capacity(service) < 1) return 0
  const release = limits.acquire(service)
  try {
    const delay = await run()
    // A job that is postponed has not called the service.
    release(delay === null ? 'available' : 'unknown')
    return delay
  } catch (error) {
    release(error instanceof ServiceUnavailableError ? 'unavailable' : 'unknown')
    throw error
  }
}

/** Options of `createConcurrencyLimits`. */
export interface ConcurrencyLimitsOptions {
  readonly settings: ConcurrencySettings
  /** Shared by all workers and drains of the process. */
  readonly outages: Outages
  readonly retries: RetryOptions
  /** true: an unavailable service is tried again. false: a drain tries it once. */
  readonly isWorker: boolean
  /** Milliseconds, for tests. Default: `performance.now`. */
  readonly now?: () => number
  /** For tests. Default: `Math.random`. */
  readonly random?: Random
}

const BUSY_RETRY_DELAY_MS = 5_000

/** Creates the permits of a worker or of a drain. */
export function createConcurrencyLimits({
  settings,
  outages,
  retries,
  isWorker,
  now = () => performance.now(),
  random = Math.random,
}: ConcurrencyLimitsOptions): ConcurrencyLimits {
  const held = new Map<string, number>()
  const seenUnavailable = new Set<string>()
  const unavailableUntil = (service: string): number => outages.get(service)?.until ?? 0
  const remainingDelay = (service: string): number => Math.max(0, unavailableUntil(service) - now())
  return {
    capacity(service) {
      const count = held.get(service) ?? 0
      if (!outages.has(service)) return settings.forService(service) - count
      const mayTry = isWorker ? remainingDelay(service) === 0 : !seenUnavailable.has(service)
      return count === 0 && mayTry ? 1 : 0
    },
    acquire(service) {
      held.set(service, (held.get(service) ?? 0) + 1)
      return (observed) => {
        held.set(service, (held.get(service) ?? 1) - 1)
        if (observed === 'available') outages.delete(service)
        if (observed !== 'unavailable') return
        seenUnavailable.add(service)
        const seenAt = now()
        const since = outages.get(service)?.since ?? seenAt
        const until = seenAt + outageDelay(retries, seenAt - since, random)
        outages.set(service, { since, until })
      }
    },
    unavailableUntil,
    retryDelay: (service) => Math.max(remainingDelay(service), BUSY_RETRY_DELAY_MS),
  }
}
