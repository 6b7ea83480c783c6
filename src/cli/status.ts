import type { Stats } from '../delayed/stats.ts'
import { countGemRows, type GemRowCount } from '../gem/gem-rows.ts'
import { getInternals } from '../storage/internals.ts'
import { formatSize } from '../errors/public-message.ts'
import { countJobs, type JobCount } from '../jobs/job-rows.ts'
import { listWorkers, type WorkerStatus } from '../jobs/worker-rows.ts'
import type { CommandStorage } from './config.ts'
import { findOldTransaction, type OldTransaction } from '../database/old-transaction.ts'
import { formatAge, formatTable } from './table.ts'

export interface StorageStatus {
  readonly uploads: Stats
  /** The oldest of the failed ones, at most 20. */
  readonly failed: readonly {
    id: string
    record: string
    attempts: number
    since: Date
    error: string | null
    files: readonly string[]
  }[]
  readonly workers: readonly WorkerStatus[]
  readonly jobs: readonly JobCount[]
  /** Written by the Ruby gem, not moved yet. Those of attachments that this storage does not know stay. */
  readonly gemRows: readonly (GemRowCount & { readonly known: boolean })[]
  /** The oldest open transaction of a PostgreSQL database, when it is old enough to let tables grow: vacuum waits for it. */
  readonly oldTransaction: OldTransaction | null
}

/** Milliseconds from which an open transaction is worth a word. */
const OLD_TRANSACTION_MS = 600_000

/** An operator's questions: what waits and how long, what failed and why, how many bytes are staged, is a worker alive. */
export async function readStatus(storage: CommandStorage): Promise<StorageStatus> {
  const internals = getInternals(storage)
  const { session } = await internals.openStore()
  const failed = await storage.delayedUploads.list({ state: 'failed', limit: 20 })
  return {
    uploads: await storage.delayedUploads.stats(),
    failed: failed.map(({ id, record, name, attempts, createdAt, lastError, files }) => ({
      id,
      record: `${record.type} ${record.id} ${name}`,
      attempts,
      since: createdAt,
      error: lastError,
      files: files.filter((file) => file.state === 'failed').map((file) => file.filename),
    })),
    workers: await listWorkers(session),
    jobs: await countJobs(session),
    gemRows: (await countGemRows(session)).map((each) => ({
      ...each,
      known: internals.hasAttachment(each.attachment),
    })),
    oldTransaction:
      session.dialect === 'postgres' ? await findOldTransaction(session, OLD_TRANSACTION_MS) : null,
  }
}

export function formatStatus({
  uploads,
  failed,
  workers,
  jobs,
  gemRows,
  oldTransaction: old,
}: StorageStatus): string {
  const since = (date: Date | null): string =>
    date === null ? '' : formatAge(Date.now() - date.getTime())
  const parts = [
    formatTable(
      ['uploads', 'count', 'bytes', 'oldest'],
      [
        [
          'pending',
          String(uploads.pending),
          formatSize(uploads.stagedBytes - uploads.failedBytes),
          since(uploads.oldestPendingAt),
        ],
        ['running', String(uploads.running), '', ''],
        [
          'failed',
          String(uploads.failed),
          formatSize(uploads.failedBytes),
          since(uploads.oldestFailedAt),
        ],
      ],
    ),
    workers.length === 0
      ? 'No worker is alive: start one with `activestorage-delayed work`, or storage.work() in the app.'
      : formatTable(
          ['worker', 'alive', 'seen', 'runs for', 'knows'],
          workers.map((worker) => [
            worker.id,
            worker.alive ? 'yes' : 'NO',
            `${formatAge(worker.seenAgo)} ago`,
            formatAge(worker.runsFor),
            worker.knows.join(' '),
          ]),
        ),
  ]
  if (failed.length > 0)
    parts.push(
      formatTable(
        ['failed upload', 'of', 'attempts', 'since', 'why'],
        failed.map((each) => [
          each.id,
          each.record,
          String(each.attempts),
          since(each.since),
          each.error ?? '',
        ]),
      ),
    )
  if (jobs.length > 0)
    parts.push(
      formatTable(
        ['job', 'waiting', 'failing'],
        jobs.map((job) => [job.name, String(job.waiting), String(job.failing)]),
      ),
    )
  if (gemRows.length > 0)
    parts.push(
      formatTable(
        ["rows of the Ruby gem's", 'waiting', 'known'],
        gemRows.map((each) => [
          each.attachment,
          String(each.waiting),
          each.known ? 'yes' : 'NO: define it to move them',
        ]),
      ),
    )
  if (old !== null)
    parts.push(
      `The transaction of process ${old.pid} (${old.application || 'no application name'}) is open for ${formatAge(old.openFor)}: until it ends, vacuum frees nothing and tables grow.`,
    )
  return parts.join('\n\n')
}
