import { asText, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'

/** A worker that runs, or died less than a day ago. Ages in milliseconds, by the database's clock. */
export interface WorkerStatus {
  readonly id: string
  readonly runsFor: number
  readonly seenAgo: number
  readonly alive: boolean
  /** `Model.attachment`s that it can upload. */
  readonly knows: readonly string[]
}

/** It writes its row every 15 s. */
const ALIVE_WITHIN_MS = 45_000

export async function writeWorker(
  session: Session,
  { id, knows }: { readonly id: string; readonly knows: readonly string[] },
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
    .values({ id, started_at: now(dialect), seen_at: now(dialect), knows: JSON.stringify(knows) })
    .execute()
}

export async function deleteWorker(session: Session, id: string): Promise<void> {
  await session.db.deleteFrom('workers').where('id', '=', id).execute()
}

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
  const ago = (clock: unknown, time: string): number => Number(clock) - Number(time)
  return rows.map((row) => ({
    id: row.id,
    runsFor: ago(row.clock, row.started),
    seenAgo: ago(row.clock, row.seen),
    alive: ago(row.clock, row.seen) < ALIVE_WITHIN_MS,
    knows: JSON.parse(row.knows) as string[],
  }))
}
