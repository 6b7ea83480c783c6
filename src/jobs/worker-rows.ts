import { asText, now, nowPlus } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'

/**
 * A worker that runs, or died less than a day ago. Ages are milliseconds by the database's clock.
 */
export interface WorkerStatus {
  readonly id: string
  /** Age of its first heartbeat. */
  readonly runsFor: number
  /** Age of its last heartbeat; it sends one every 15 s. */
  readonly seenAgo: number
  /** Whether the last heartbeat is younger than 45 s. */
  readonly alive: boolean
  /** The attachments that it can upload, such as 'User.photo'. */
  readonly attachments: readonly string[]
}

/** A worker is alive until it has missed three heartbeats. */
const ALIVE_WITHIN_MS = 45_000
/** Time after its last heartbeat in which the row of a dead worker stays. */
const DEAD_ROW_TTL_MS = 86_400_000

/** Writes the heartbeat of a worker, and its row at the first one. */
export async function writeWorker(
  session: Session,
  { id, attachments }: { readonly id: string; readonly attachments: readonly string[] },
): Promise<void> {
  const { dialect } = session
  const result = await session.db
    .updateTable('workers')
    .set({ seen_at: now(dialect) })
    .where('id', '=', id)
    .executeTakeFirst()
  if (Number(result.numUpdatedRows) > 0) return
  await session.db
    .insertInto('workers')
    .values({
      id,
      started_at: now(dialect),
      seen_at: now(dialect),
      knows: JSON.stringify(attachments),
    })
    .execute()
}

/** Deletes the row of a worker that has stopped. */
export async function deleteWorker(session: Session, id: string): Promise<void> {
  await session.db.deleteFrom('workers').where('id', '=', id).execute()
}

/** Deletes the rows of workers that died a day ago or longer. */
export async function deleteDeadWorkers({ db, dialect }: Session): Promise<void> {
  await db
    .deleteFrom('workers')
    .where('seen_at', '<=', nowPlus(dialect, -DEAD_ROW_TTL_MS))
    .execute()
}

/** Lists the workers that have a row, oldest first. */
export async function listWorkers(session: Session): Promise<WorkerStatus[]> {
  const { dialect } = session
  const rows = await session.db
    .selectFrom('workers')
    .select([
      'id',
      'knows',
      asText(dialect, 'started_at').as('started'),
      asText(dialect, 'seen_at').as('seen'),
      now(dialect).as('clock'),
    ])
    .orderBy('started_at')
    .execute()
  return rows.map(({ id, knows, started, seen, clock }) => {
    const age = (time: string): number => Number(clock) - Number(time)
    const attachments: string[] = JSON.parse(knows)
    return {
      id,
      runsFor: age(started),
      seenAgo: age(seen),
      alive: age(seen) < ALIVE_WITHIN_MS,
      attachments,
    }
  })
}
