import { formatSize } from '../errors/public-message.ts'
import { formatDuration } from '../options/units.ts'
import type { StorageStatus } from '../storage/status.ts'
import { formatTable } from './format-table.ts'

/** Formats the status for a terminal: one table for each part that has rows. */
export function formatStatus(status: StorageStatus, now: number = Date.now()): string {
  const { failed, jobs, gemRows, outages, oldTransaction } = status
  const age = (date: Date | null): string =>
    date === null ? '' : formatDuration(now - date.getTime())
  const parts = [formatUploads(status, age), formatWorkers(status)]
  if (failed.length > 0)
    parts.push(
      formatTable(
        ['failed upload', 'of', 'attempts', 'since', 'why'],
        failed.map(({ id, record, name, attempts, createdAt, lastError }) => [
          id,
          `${record.type} ${record.id} ${name}`,
          String(attempts),
          age(createdAt),
          lastError ?? '',
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
        ['rows of the Ruby gem', 'waiting', 'known'],
        gemRows.map(({ attachment, waiting, known }) => [
          attachment,
          String(waiting),
          known ? 'yes' : 'NO: define it to move them',
        ]),
      ),
    )
  if (outages.length > 0)
    parts.push(
      formatTable(
        ['unavailable service', 'since'],
        outages.map(({ service, since }) => [service, age(since)]),
      ),
    )
  if (oldTransaction !== null)
    parts.push(
      `The transaction of process ${oldTransaction.pid} (${oldTransaction.application || 'no application name'}) is open for ${formatDuration(oldTransaction.openFor)}: until it ends, vacuum frees nothing and tables grow.`,
    )
  return parts.join('\n\n')
}

function formatUploads({ uploads }: StorageStatus, age: (date: Date | null) => string): string {
  const waitingBytes = uploads.stagedBytes - uploads.failedBytes
  return formatTable(
    ['uploads', 'count', 'bytes', 'oldest'],
    [
      ['pending', String(uploads.pending), formatSize(waitingBytes), age(uploads.oldestPendingAt)],
      ['running', String(uploads.running), '', ''],
      [
        'failed',
        String(uploads.failed),
        formatSize(uploads.failedBytes),
        age(uploads.oldestFailedAt),
      ],
    ],
  )
}

function formatWorkers({ workers }: StorageStatus): string {
  if (workers.length === 0)
    return 'No worker is alive: start one with `activestorage-delayed work`, or with storage.work() in the app.'
  return formatTable(
    ['worker', 'alive', 'seen', 'runs for', 'attachments'],
    workers.map((worker) => [
      worker.id,
      worker.alive ? 'yes' : 'NO',
      `${formatDuration(worker.seenAgo)} ago`,
      formatDuration(worker.runsFor),
      worker.attachments.join(' '),
    ]),
  )
}
