import { sql } from 'kysely'
import { bindId } from '../attachments/lane.ts'
import { asText, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { selectUploads, SNOOZED_LEASE, uploadOf, type UploadRow } from './upload-rows.ts'

/**
 * How an upload stands, for who waits for it: `due` may be claimed, `waiting` has another before it in its lane or is with a worker,
 * `failing` waits for its retry or for a person.
 */
export type UploadPhase = 'due' | 'waiting' | 'failing' | 'attached'

/** An upload and how it stands. null: its row is gone, because it is done, or because something newer replaced it. */
export async function findUploadPhase(
  session: Session,
  token: string,
): Promise<{ upload: UploadRow; standing: UploadPhase } | null> {
  const { dialect } = session
  const row = await selectUploads(session)
    .select([
      sql<number>`case when u.run_at <= ${now(dialect)} then 1 else 0 end`.as('is_due'),
      asText(dialect, 'u.lease_until').as('lease_until'),
    ])
    .where('u.token', '=', token)
    .executeTakeFirst()
  if (row === undefined) return null
  const upload = uploadOf(row)
  return {
    upload,
    standing: readPhase(
      upload,
      Number(row.is_due) === 1,
      Number(row.lease_until) === SNOOZED_LEASE,
    ),
  }
}

function readPhase(
  { state, lastError }: UploadRow,
  isDue: boolean,
  isSnoozed: boolean,
): UploadPhase {
  if (state === 'attached') return 'attached'
  if (state === 'failed') return 'failing'
  if (state === 'running' || isSnoozed) return 'waiting'
  if (isDue) return 'due'
  return lastError === null ? 'waiting' : 'failing'
}

/** The oldest of its lane that has its turn before this one, and that nobody has begun. */
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
