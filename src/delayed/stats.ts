import { sql } from 'kysely'
import { asText, parseRailsTime } from '../database/expressions.ts'
import type { FileState, UploadState } from '../database/schema.ts'
import type { Store } from '../database/store.ts'
import { listWorkers } from '../jobs/worker-rows.ts'
import { isOwnUpload } from './upload-rows.ts'

/** Counts of uploads and of staged bytes. */
export interface Stats {
  readonly pending: number
  readonly running: number
  readonly failed: number
  /** Bytes of all staged files: pending, running and failed ones, also those without an upload. */
  readonly stagedBytes: number
  /** Bytes of failed files. */
  readonly failedBytes: number
  readonly oldestPendingAt: Date | null
  readonly oldestFailedAt: Date | null
  /**
   * Workers that sent a heartbeat within 45 s. 0 is an alarm: nothing is lost, but nothing is
   * uploaded.
   */
  readonly workersAlive: number
}

/** Reads the counts for `storage.delayedUploads.stats()`. */
export async function readUploadStats({ session, dialect }: Store): Promise<Stats> {
  const rows = await session.db
    .selectFrom('uploads as u')
    .select(['u.state as state', (e) => e.fn.countAll().as('count')])
    .where('u.token', 'is not', null)
    .where(isOwnUpload)
    .groupBy('u.state')
    .execute()
  const oldest = async (state: UploadState): Promise<Date | null> => {
    const row = await session.db
      .selectFrom('uploads as u')
      .select(asText(dialect, 'u.created_at').as('at'))
      .where('u.token', 'is not', null)
      .where(isOwnUpload)
      .where('u.state', '=', state)
      .orderBy('u.created_at')
      .limit(1)
      .executeTakeFirst()
    return row === undefined ? null : parseRailsTime(row.at)
  }
  const bytes = await session.db
    .selectFrom('files')
    .select(['state', sql<string>`coalesce(sum(byte_size), 0)`.as('bytes')])
    .where('state', 'in', ['staged', 'failed'])
    .groupBy('state')
    .execute()
  const count = (state: UploadState): number =>
    Number(rows.find((row) => row.state === state)?.count ?? 0)
  const size = (state: FileState): number =>
    Number(bytes.find((row) => row.state === state)?.bytes ?? 0)
  return {
    pending: count('pending'),
    running: count('running'),
    failed: count('failed'),
    stagedBytes: size('staged') + size('failed'),
    failedBytes: size('failed'),
    oldestPendingAt: await oldest('pending'),
    oldestFailedAt: await oldest('failed'),
    workersAlive: (await listWorkers(session)).filter((worker) => worker.alive).length,
  }
}
