import { sql } from 'kysely'
import { bindId } from '../attachments/lane.ts'
import { asText, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { selectUploads, toUploadRow, type UploadRow } from './upload-rows.ts'
import { SNOOZED_LEASE } from './wake-lane.ts'

/**
 * Progress of an upload, for a direct attach that waits for it.
 * - `due`: it may be claimed.
 * - `waiting`: another upload of the lane comes first, or a worker has it.
 * - `failing`: it waits for its retry, or for a retry by hand.
 * - `attached`: all files are attached; hooks may still be to be run.
 */
export type UploadPhase = 'due' | 'waiting' | 'failing' | 'attached'

/** An upload, and its phase. */
export interface PhasedUpload {
  readonly upload: UploadRow
  readonly phase: UploadPhase
}

/**
 * Finds an upload. null: its row was deleted, because it is finished, or because it was replaced.
 */
export async function findUploadPhase(
  session: Session,
  token: string,
): Promise<PhasedUpload | null> {
  const { dialect } = session
  const row = await selectUploads(session)
    .select([
      sql<number>`case when u.run_at <= ${now(dialect)} then 1 else 0 end`.as('is_due'),
      asText(dialect, 'u.lease_until').as('lease_until'),
    ])
    .where('u.token', '=', token)
    .executeTakeFirst()
  if (row === undefined) return null
  const upload = toUploadRow(row)
  const isDue = Number(row.is_due) === 1
  const isSnoozed = Number(row.lease_until) === SNOOZED_LEASE
  return { upload, phase: readPhase({ ...upload, isDue, isSnoozed }) }
}

/** Tells the phase of an upload. `isSnoozed`: a claim put it off, because its lane was busy. */
export function readPhase({
  state,
  lastError,
  isDue,
  isSnoozed,
}: Pick<UploadRow, 'state' | 'lastError'> & {
  readonly isDue: boolean
  readonly isSnoozed: boolean
}): UploadPhase {
  if (state === 'attached') return 'attached'
  if (state === 'failed') return 'failing'
  if (state === 'running' || isSnoozed) return 'waiting'
  if (isDue) return 'due'
  return lastError === null ? 'waiting' : 'failing'
}

/** Finds the oldest upload of the lane that comes before this one and is not claimed: its token. */
export async function findOlderDue(session: Session, upload: UploadRow): Promise<string | null> {
  const { lane, order } = upload
  const found = await session.db
    .selectFrom('uploads as u')
    .select('u.token')
    .where('u.uploadable_type', '=', lane.type)
    .where('u.uploadable_id', '=', bindId(lane.id, session.recordId))
    .where('u.attr_name', '=', lane.name)
    .where('u.state', '=', 'pending')
    .where('u.token', 'is not', null)
    .where(sql<boolean>`coalesce(u.origin_id, u.id) < ${order}`)
    .where(
      sql<boolean>`(u.run_at <= ${now(session.dialect)} or u.lease_until = ${sql.lit(SNOOZED_LEASE)})`,
    )
    .orderBy(sql`coalesce(u.origin_id, u.id)`)
    .limit(1)
    .executeTakeFirst()
  return found?.token ?? null
}
