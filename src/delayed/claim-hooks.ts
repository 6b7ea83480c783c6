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

/** Those whose files are attached and whose hooks are due again: their worker died, or a hook threw. */
export async function claimHooks(delayed: DelayedContext, limit: number): Promise<UploadRow[]> {
  if (delayed.knownAttachments.length === 0 || limit < 1) return []
  return delayed.store.transact(async (session) => {
    const mine = (query: UploadQuery): UploadQuery =>
      query.where(isKnownAttachment(delayed.knownAttachments))
    const rows = await findHooksDue(session, limit, (query) =>
      mine(query).where('u.state', '=', 'attached'),
    )
    // From the files, of which few wait to be told: failed uploads may be many.
    const untold = session.db
      .selectFrom('files')
      .select('upload_token')
      .where('state', '=', 'attached')
    if (rows.length < limit)
      rows.push(
        ...(await findHooksDue(session, limit - rows.length, (query) =>
          mine(query).where('u.state', '=', 'failed').where('u.token', 'in', untold),
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
  which: (query: UploadQuery) => UploadQuery,
): Promise<UploadRow[]> {
  let query = which(selectUploads(session))
    // The condition of the index on leases, to the letter: the planner does not infer it from a parameter.
    .where(sql<boolean>`u.state <> 'pending'`)
    .where('u.lease_until', '<=', now(session.dialect))
    .where('u.run_at', '<=', now(session.dialect))
    .where(hasFiles)
    .orderBy('u.id')
    .limit(limit)
  // `of`: the files that are looked at on the way stay free.
  if (session.dialect === 'postgres') query = query.forUpdate('u').skipLocked()
  else if (session.dialect !== 'sqlite') query = query.forUpdate().skipLocked()
  return fetchUploads(query)
}
