import { sql, type RawBuilder } from 'kysely'
import { bindId, type Lane } from '../attachments/lane.ts'
import { asText } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { hasFiles } from './upload-rows.ts'

/** The `lease_until` of a pending upload that was due, and was put off because its lane is busy. */
export const SNOOZED_LEASE = 1

const isWakeable: RawBuilder<boolean> = sql<boolean>`((attempts = 0 and unavailable_since = 0) or lease_until = ${sql.lit(SNOOZED_LEASE)})`

/**
 * Makes the oldest upload of a lane due that does not wait for its retry. Call it when the lane
 * becomes free, after the commit: inside the transaction it would miss uploads that a claim puts
 * off at that moment.
 */
export async function wakeLane(session: Session, lane: Lane): Promise<void> {
  const head = await session.db
    .selectFrom('uploads as u')
    .select(asText(session.dialect, 'u.id').as('row_id'))
    .where('u.uploadable_type', '=', lane.type)
    .where('u.uploadable_id', '=', bindId(lane.id, session.recordId))
    .where('u.attr_name', '=', lane.name)
    .where('u.state', '=', 'pending')
    .where(isWakeable)
    .where('u.token', 'is not', null)
    .where(hasFiles)
    .orderBy(sql`coalesce(u.origin_id, u.id)`)
    .limit(1)
    .executeTakeFirst()
  if (head === undefined) return
  await session.db
    .updateTable('uploads')
    .set({ run_at: 0, enqueued_at: 0, lease_until: 0 })
    .where('id', '=', BigInt(head.row_id))
    .where('state', '=', 'pending')
    .where(isWakeable)
    .execute()
}
