import type { DelayedUploads } from '../attached/delayed-uploads.ts'
import type { RecordRef } from '../attached/values.ts'
import { findOldTransaction, type OldTransaction } from '../database/old-transaction.ts'
import type { Outages } from '../delayed/concurrency-limits.ts'
import type { Stats } from '../delayed/stats.ts'
import { countGemRows, type GemRowCount } from '../gem/gem-rows.ts'
import { countJobs, type JobCount } from '../jobs/job-rows.ts'
import { listWorkers, type WorkerStatus } from '../jobs/worker-rows.ts'
import type { StorageParts } from './contexts.ts'

/** A failed upload, in plain data. */
export interface FailedUploadStatus {
  /**
   * The upload's id, which `delayedUploads.find` takes, and `retry` and `discard` of the command
   * line.
   */
  readonly id: string
  readonly record: RecordRef
  /** The attachment's name, such as 'photo'. */
  readonly name: string
  readonly attempts: number
  /** Time of the submission. */
  readonly createdAt: Date
  readonly lastError: string | null
  /** Names of the files that failed. */
  readonly files: readonly string[]
}

/** A service that could not be reached, as this process saw it. */
export interface ServiceOutage {
  /** A name of `services`. */
  readonly service: string
  /** Time of the first failed call. */
  readonly since: Date
  /** Time before which no upload to the service is tried. */
  readonly retryAt: Date
}

/** Rows of one attachment that the Ruby gem wrote and that are not moved yet. */
export interface GemRowStatus extends GemRowCount {
  /** false: this storage does not define the attachment, so its rows stay where they are. */
  readonly known: boolean
}

/** The state of a storage, for operators. It is plain data. */
export interface StorageStatus {
  /** Counts, bytes and the oldest uploads by state; the number of live workers. */
  readonly uploads: Stats
  /** At most 20 failed uploads, oldest first. `delayedUploads.list` lists them all. */
  readonly failed: readonly FailedUploadStatus[]
  /** Workers that run, or died less than a day ago. */
  readonly workers: readonly WorkerStatus[]
  /** Other work that waits, by kind: blobs to purge, objects to delete. */
  readonly jobs: readonly JobCount[]
  /** Rows that the Ruby gem wrote and that are not moved yet, by attachment. */
  readonly gemRows: readonly GemRowStatus[]
  /**
   * Services that workers, drains or saves of this process could not reach. Other processes are not
   * asked.
   */
  readonly outages: readonly ServiceOutage[]
  /**
   * PostgreSQL: the oldest transaction, if it is open for ten minutes or more. Until it ends,
   * vacuum frees nothing and tables grow.
   */
  readonly oldTransaction: OldTransaction | null
}

const FAILED_LIMIT = 20
const OLD_TRANSACTION_MS = 600_000

/** Reads `storage.status`. */
export async function readStatus(
  { settings, store }: StorageParts,
  delayedUploads: DelayedUploads,
  outages: Outages,
): Promise<StorageStatus> {
  const { session } = await store.open()
  const isKnown = ({ attachment }: GemRowCount): boolean =>
    settings.knownAttachments.some(({ type, name }) => `${type}.${name}` === attachment)
  const failed = await delayedUploads.list({
    state: 'failed',
    order: 'oldest',
    limit: FAILED_LIMIT,
  })
  return {
    uploads: await delayedUploads.stats(),
    failed: failed.map(({ id, record, name, attempts, createdAt, lastError, files }) => ({
      id,
      record: { type: record.type, id: record.id },
      name,
      attempts,
      createdAt,
      lastError,
      files: files.filter(({ state }) => state === 'failed').map(({ filename }) => filename),
    })),
    workers: await listWorkers(session),
    jobs: await countJobs(session),
    gemRows: (await countGemRows(session)).map((row) => ({ ...row, known: isKnown(row) })),
    outages: listOutages(outages),
    oldTransaction:
      session.dialect === 'postgres' ? await findOldTransaction(session, OLD_TRANSACTION_MS) : null,
  }
}

/** Outages are timed by `performance.now()`, which runs on when the clock is set. */
function listOutages(outages: Outages): ServiceOutage[] {
  const toDate = (time: number): Date => new Date(Date.now() + time - performance.now())
  return [...outages].map(([service, { since, until }]) => ({
    service,
    since: toDate(since),
    retryAt: toDate(until),
  }))
}
