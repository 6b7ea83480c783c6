import type { Stats } from '../delayed/stats.ts'
import { countGemRows, type GemRowCount } from '../gem/rows.ts'
import { internalsOf } from '../internals.ts'
import { sizeText } from '../public-message.ts'
import { countJobs, type JobCount } from '../jobs/job-rows.ts'
import { workersSeen, type WorkerSeen } from '../jobs/worker-rows.ts'
import type { AnyStorage } from './config.ts'
import { oldTransaction, type OldTransaction } from './old-transaction.ts'
import { age, table } from './table.ts'

export interface Status {
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
  readonly workers: readonly WorkerSeen[]
  readonly jobs: readonly JobCount[]
  /** Written by the Ruby gem, not moved yet. Those of attachments that this storage does not know stay. */
  readonly gemRows: readonly (GemRowCount & { readonly known: boolean })[]
  /** The oldest open transaction of a PostgreSQL database, when it is old enough to let tables grow: vacuum waits for it. */
  readonly oldTransaction: OldTransaction | null
}

/** Milliseconds from which an open transaction is worth a word. */
const OLD = 600_000

/** An operator's questions: what waits and how long, what failed and why, how many bytes are staged, is a worker alive. */
export async function readStatus(storage: AnyStorage): Promise<Status> {
  const internals = internalsOf(storage)
  const { session } = await internals.store()
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
    workers: await workersSeen(session),
    jobs: await countJobs(session),
    gemRows: (await countGemRows(session)).map((each) => ({
      ...each,
      known: internals.knows(each.attachment),
    })),
    oldTransaction: session.dialect === 'postgres' ? await oldTransaction(session, OLD) : null,
  }
}

export function statusText({
  uploads,
  failed,
  workers,
  jobs,
  gemRows,
  oldTransaction: old,
}: Status): string {
  const since = (date: Date | null): string =>
    date === null ? '' : age(Date.now() - date.getTime())
  const parts = [
    table(
      ['uploads', 'count', 'bytes', 'oldest'],
      [
        [
          'pending',
          String(uploads.pending),
          sizeText(uploads.stagedBytes - uploads.failedBytes),
          since(uploads.oldestPendingAt),
        ],
        ['running', String(uploads.running), '', ''],
        [
          'failed',
          String(uploads.failed),
          sizeText(uploads.failedBytes),
          since(uploads.oldestFailedAt),
        ],
      ],
    ),
    workers.length === 0
      ? 'No worker is alive: start one with `activestorage-delayed work`, or storage.work() in the app.'
      : table(
          ['worker', 'alive', 'seen', 'runs for', 'knows'],
          workers.map((worker) => [
            worker.id,
            worker.alive ? 'yes' : 'NO',
            `${age(worker.seenAgo)} ago`,
            age(worker.runsFor),
            worker.knows.join(' '),
          ]),
        ),
  ]
  if (failed.length > 0)
    parts.push(
      table(
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
      table(
        ['job', 'waiting', 'failing'],
        jobs.map((job) => [job.name, String(job.waiting), String(job.failing)]),
      ),
    )
  if (gemRows.length > 0)
    parts.push(
      table(
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
      `The transaction of process ${old.pid} (${old.application || 'no application name'}) is open for ${age(old.openFor)}: until it ends, vacuum frees nothing and tables grow.`,
    )
  return parts.join('\n\n')
}
