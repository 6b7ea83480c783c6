import { ConfigurationError, ServiceUnavailableError } from '../errors/errors.ts'
import { formatList } from '../errors/message.ts'
import { checkOptions } from '../options/check-options.ts'
import type { RetryOptions } from './context.ts'
import { outageDelay } from './retry-schedule.ts'

/** How much a worker process does at once. A number is the total. */
export type Concurrency =
  | number
  | {
      /** Pieces of work of any kind. Default 5. */
      readonly total?: number
      /** Uploads and deletions of one service. Default: half of the total, all of it where there is one service. */
      readonly perService?: number
      /** The same of single services, by name. */
      readonly services?: Readonly<Record<string, number>>
    }

export interface ConcurrencySettings {
  readonly total: number
  forService(service: string): number
}

/** Throws ConfigurationError on what is none. */
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
    throw new ConfigurationError('concurrency.services is an object such as { amazon: 16 }.')
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

/** By service: those that are away, since when and until when they are left alone, by `performance.now()`. */
export type Outages = Map<string, { readonly since: number; readonly until: number }>

/** The places of one worker, or of one drain: a service that is sick takes its own, never those of others. */
export interface ConcurrencyLimits {
  /** How many more pieces of work may begin for the service; for one that is away, one at a time and ever more rarely. */
  capacity(service: string): number
  /** Takes a place. Returns how to give it back, with what was seen: whether the service is away; null: nothing. */
  acquire(service: string): (isAway: boolean | null) => void
  /** Until when a service that is away is left alone, by `performance.now()`; 0: it is not away. */
  unavailableUntil(service: string): number
  /** Milliseconds until it is worth looking for room again. */
  retryDelay(service: string): number
}

/** Runs a job in a place of its service. Returns how long to put it off, in milliseconds. */
export async function runWithPermit(
  places: ConcurrencyLimits,
  service: string,
  run: () => Promise<number | null>,
): Promise<number | null> {
  // Claims leave it alone from now on, until there is room.
  if (places.capacity(service) < 1) return 0
  const leave = places.acquire(service)
  try {
    const delay = await run()
    // A job that was not to be done yet says nothing of the service.
    leave(delay === null ? false : null)
    return delay
  } catch (error) {
    leave(error instanceof ServiceUnavailableError ? true : null)
    throw error
  }
}

/** Milliseconds. */
const BUSY_RETRY_DELAY_MS = 5_000

/** `outages` is shared by all that work in the process. `once`: a drain, in which a service that was away is not tried again. */
export function createConcurrencyLimits(
  limits: ConcurrencySettings,
  outages: Outages,
  retries: RetryOptions,
  once: boolean,
): ConcurrencyLimits {
  const taken = new Map<string, number>()
  const tried = new Set<string>()
  const left = (service: string): number =>
    Math.max(0, (outages.get(service)?.until ?? 0) - performance.now())
  return {
    capacity(service) {
      const busy = taken.get(service) ?? 0
      if (!outages.has(service)) return limits.forService(service) - busy
      const mayTry = once ? !tried.has(service) : left(service) === 0
      return busy === 0 && mayTry ? 1 : 0
    },
    acquire(service) {
      taken.set(service, (taken.get(service) ?? 0) + 1)
      return (isAway) => {
        taken.set(service, (taken.get(service) ?? 1) - 1)
        if (isAway === null) return
        if (!isAway) return void outages.delete(service)
        tried.add(service)
        const now = performance.now()
        const since = outages.get(service)?.since ?? now
        outages.set(service, { since, until: now + outageDelay(retries, now - since) })
      }
    },
    unavailableUntil: (service) => outages.get(service)?.until ?? 0,
    retryDelay: (service) => Math.max(left(service), BUSY_RETRY_DELAY_MS),
  }
}
