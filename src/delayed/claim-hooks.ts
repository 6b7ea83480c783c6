import { sql } from 'kysely'
import { nowPlus, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { LEASE_MS } from '../jobs/leases.ts'
import type { DelayedContext } from './context.ts'
import { createHookLease } from './hook-rounds.ts'
import {
  fetchUploads,
  hasFiles,
  isKnownAttachment,
  selectUploads,
  type UploadQuery,
  type UploadRow,
} from './upload-rows.ts'

/**
 * Claims uploads with attached files whose hooks are due again, because their worker died or a hook
 * threw. Returns at most `limit`.
 */
export async function claimHooks(
  { store, knownAttachments }: Pick<DelayedContext, 'store' | 'knownAttachments'>,
  limit: number,
): Promise<UploadRow[]> {
  if (knownAttachments.length === 0 || limit < 1) return []
  return store.transact(async (session) => {
    const selectKnown = (query: UploadQuery): UploadQuery =>
      query.where(isKnownAttachment(knownAttachments))
    const rows = await findHooksDue(session, limit, (query) =>
      selectKnown(query).where('u.state', '=', 'attached'),
    )
    // Starts from the files: few of them wait for hooks, while failed uploads may be many.
    const waiting = session.db
      .selectFrom('files')
      .select('upload_token')
      .where('state', '=', 'attached')
    if (rows.length < limit)
      rows.push(
        ...(await findHooksDue(session, limit - rows.length, (query) =>
          selectKnown(query).where('u.state', '=', 'failed').where('u.token', 'in', waiting),
        )),
      )
    for (const row of rows)
      await session.db
        .updateTable('uploads')
        .set({
          attempts: row.state === 'attached' ? row.attempts + 1 : row.attempts,
          lease_token: createHookLease(row),
          lease_until: nowPlus(session.dialect, LEASE_MS),
        })
        .where('id', '=', BigInt(row.rowId))
        .execute()
    const ids = rows.map((row) => BigInt(row.rowId))
    return ids.length === 0 ? [] : fetchUploads(selectUploads(session).where('u.id', 'in', ids))
  })
}

async function findHooksDue(
  session: Session,
  limit: number,
  addConditions: (query: UploadQuery) => UploadQuery,
): Promise<UploadRow[]> {
  let query = addConditions(selectUploads(session))
    // Exactly the condition of the index on leases: the planner does not infer it from a parameter.
    .where(sql<boolean>`u.state <> 'pending'`)
    .where('u.lease_until', '<=', now(session.dialect))
    .where('u.run_at', '<=', now(session.dialect))
    .where(hasFiles)
    .orderBy('u.id')
    .limit(limit)
  // `of u` leaves the rows of files unlocked.
  if (session.dialect === 'postgres') query = query.forUpdate('u').skipLocked()
  else if (session.dialect !== 'sqlite') query = query.forUpdate().skipLocked()
  return fetchUploads(query)
}
