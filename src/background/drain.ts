import { readConcurrency, type Outages } from '../delayed/concurrency-limits.ts'
import type { UploadResult } from '../delayed/record-outcome.ts'
import { readUploadStats } from '../delayed/stats.ts'
import { ServiceUnavailableError, type ActiveStorageError } from '../errors/errors.ts'
import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import { drainSources } from '../jobs/embedded-worker.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import type { Running } from './options.ts'
import { createWork, toWorkOptions } from './work.ts'
import type { WorkerOptions } from './worker.ts'

/** Of `storage.drain`. */
export interface DrainOptions extends WorkerOptions {
  /** What is not done by then is given back. Default: none. */
  readonly timeout?: Duration
  /** Throws the first failure when all is done. */
  readonly throwOnError?: boolean
}

/** Counts of uploads, each of which may be of several files. */
export interface DrainResult {
  readonly uploaded: number
  /** Failed, and are due again later. */
  readonly retried: number
  /** Failed for good; kept for a person. */
  readonly failed: number
  /** Pending ones that are not due yet, or were left by the timeout. */
  readonly remaining: number
}

/** Does what is due, until nothing is left or the time is over. */
export async function drain(
  options: Running,
  outages: Outages,
  { concurrency, timeout, signal, throwOnError = false }: DrainOptions,
): Promise<DrainResult> {
  const limits = readConcurrency(concurrency, options.services)
  const count = { uploaded: 0, retried: 0, failed: 0 }
  let first: ActiveStorageError | undefined
  const tally = ({ outcome, error }: Pick<UploadResult, 'outcome' | 'error'>): void => {
    if (outcome in count) count[outcome as keyof typeof count] += 1
    first ??= error
  }
  const work = createWork(options, { limits, outages, queue: null, tally })
  const sweep = async (stopping?: AbortSignal): Promise<void> => {
    const { failed } = await options.sweep(stopping)
    for (const error of failed) tally({ outcome: 'failed', error })
  }
  const ends = [
    signal,
    timeout === undefined ? undefined : AbortSignal.timeout(parseDuration(timeout, 'timeout')),
  ]
  const until = AbortSignal.any(ends.filter((end) => end !== undefined))
  /** Where the time is over, also a database that does not answer is not waited for. */
  const inTime = async <T>(running: Promise<T>): Promise<T> => {
    if (!until.aborted || (await endsWithin(running, STOP_GRACE_MS))) return running
    throw new ServiceUnavailableError(
      'The database did not answer before the time was over. What was not done is given back by itself.',
    )
  }
  try {
    await drainSources({ ...toWorkOptions(options, work, limits), sweep }, until)
  } finally {
    await inTime(work.close())
  }
  if (throwOnError && first !== undefined) throw first
  const { pending, running } = await inTime(
    options.ready().then(({ store }) => readUploadStats(store)),
  )
  return { ...count, remaining: pending + running }
}
