import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import { untilAborted } from '../async/until-aborted.ts'
import { readConcurrency } from '../delayed/concurrency-limits.ts'
import type { UploadResult } from '../delayed/upload-outcome.ts'
import { readUploadStats } from '../delayed/stats.ts'
import { ServiceUnavailableError, type ActiveStorageError } from '../errors/errors.ts'
import { drainSources } from '../jobs/drain-sources.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import type { BackgroundParts } from './parts.ts'
import { sweepEverything } from './sweep-everything.ts'
import { createWork, serviceNames, toWorkOptions } from './work.ts'
import type { WorkerOptions } from './worker.ts'

/** Options of `storage.drain`. */
export interface DrainOptions extends WorkerOptions {
  /** Work that is not done after this time is released for other workers. Default: no limit. */
  readonly timeout?: Duration
  /** true: throws the first failure when everything is done. Default: false. */
  readonly throwOnError?: boolean
}

/** Counts of uploads; one upload may have several files. */
export interface DrainResult {
  /** All of their files are attached. */
  readonly uploaded: number
  /** Failed, and are due again later. */
  readonly retried: number
  /** Failed for good; kept until someone retries or discards them. */
  readonly failed: number
  /** Still pending: not due yet, or left by the timeout. */
  readonly remaining: number
}

/** Runs all work that is due, until none is left or the time is over. */
export async function drain(
  parts: BackgroundParts,
  { concurrency, timeout, signal, throwOnError = false }: DrainOptions,
): Promise<DrainResult> {
  const limits = readConcurrency(concurrency, serviceNames(parts.settings))
  const count = { uploaded: 0, retried: 0, failed: 0 }
  let first: ActiveStorageError | undefined
  const tally = (result: UploadResult): void => {
    if (result.outcome === 'superseded' || result.outcome === 'released') return
    count[result.outcome] += 1
    if (result.outcome === 'retried' || result.outcome === 'failed') first ??= result.error
  }
  const sweep = async (stopping?: AbortSignal): Promise<void> => {
    const { failed } = await sweepEverything(parts, stopping)
    for (const error of failed) tally({ outcome: 'failed', error })
  }
  const ends = [
    signal,
    timeout === undefined ? undefined : AbortSignal.timeout(parseDuration(timeout, 'timeout')),
  ]
  const until = AbortSignal.any(ends.filter((end) => end !== undefined))
  const work = createWork(parts, { limits, queue: null, tally })
  try {
    await drainSources({ ...toWorkOptions(parts, work, limits), sweep }, until)
    // The process may end after the drain.
    const sent = parts.wakeUps.messages?.waitForSends() ?? Promise.resolve()
    await untilAborted(sent, until).catch(() => undefined)
  } finally {
    await waitUnlessOver(work.close(), until)
  }
  if (throwOnError && first !== undefined) throw first
  const stats = parts.open().then(({ store }) => readUploadStats(store))
  const { pending, running } = await waitUnlessOver(stats, until)
  return { ...count, remaining: pending + running }
}

/**
 * Waits for the database, but only a moment longer than the time limit, because the database may
 * never respond.
 */
async function waitUnlessOver<T>(running: Promise<T>, until: AbortSignal): Promise<T> {
  if (!until.aborted || (await endsWithin(running, STOP_GRACE_MS))) return running
  throw new ServiceUnavailableError(
    'The database did not respond before the time was over. Work that was not done is released when its leases expire.',
  )
}
