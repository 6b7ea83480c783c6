import { sql, type RawBuilder } from 'kysely'
import type { Dialect } from '../database/database.ts'
import { asText, later, lockClause, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { LEASE } from '../jobs/leases.ts'
import { uuidv7 } from '../uuid.ts'
import type { Delayed } from './definition.ts'
import { hookLease } from './rounds.ts'
import {
  fetchUploads,
  hasFiles,
  isKnown,
  selectUploads,
  SNOOZED,
  uploadColumns,
  uploadOf,
  type UploadQuery,
  type UploadRow,
} from './upload-rows.ts'

const SNOOZE = 30_000
const WIDEST = 1024

interface Candidate {
  readonly row_id: string
  readonly blocked: number
}

/**
 * Takes due uploads whose turn it is. One lane runs one upload at a time: those that must wait are snoozed in the same
 * transaction, so that a long lane is not walked again by every claim. The unique index on running lanes is the hard
 * guarantee; when it refuses, the others are claimed one by one.
 */
export async function claimUploads(delayed: Delayed, limit: number, only: string | null = null): Promise<UploadRow[]> {
  const { store } = delayed
  if (delayed.known.length === 0 || limit < 1) return []
  for (let width = limit; ; width = Math.min(width * 4, WIDEST)) {
    const { candidates, claimed } = await claimBatch(delayed, { width, limit, only }).catch(async (error: unknown) => {
      if (!store.database.isUniqueViolation(error)) throw error
      // The one that was asked for is in contention: whoever has its lane wakes it.
      return only === null ? claimSingly(delayed, limit) : { candidates: 0, claimed: [] }
    })
    if (claimed.length > 0 || candidates < width || width === WIDEST) return claimed
  }
}

interface Claim {
  readonly candidates: number
  readonly claimed: UploadRow[]
}

interface Width {
  /** How many due rows to look at. */
  readonly width: number
  readonly limit: number
  readonly skip?: number
  /** The token of the one upload to look at. */
  readonly only?: string | null
}

async function claimBatch(delayed: Delayed, { width, limit, skip = 0, only = null }: Width): Promise<Claim> {
  return delayed.store.transact(async (session) => {
    const rows = await candidatesOf(session, delayed, width, skip, only)
    const blocked = rows.filter((row) => Number(row.blocked) === 1).map((row) => BigInt(row.row_id))
    const free = rows.filter((row) => Number(row.blocked) !== 1).map((row) => BigInt(row.row_id))
    const taken = free.slice(0, limit)
    await snooze(session, blocked)
    if (taken.length === 0) return { candidates: rows.length, claimed: [] }
    const leaseToken = uuidv7()
    const update = session.db
      .updateTable('uploads')
      .set({
        state: 'running',
        attempts: sql`attempts + 1`,
        lease_token: leaseToken,
        lease_until: later(session.dialect, LEASE),
      })
      .where('id', 'in', taken)
    if (session.returning) {
      const claimed = (await update.returning(uploadColumns(session.dialect, 'uploads')).execute()).map(uploadOf)
      return { candidates: rows.length, claimed: claimed.toSorted((a, b) => Number(BigInt(a.rowId) - BigInt(b.rowId))) }
    }
    await update.execute()
    const claimed = await fetchUploads(selectUploads(session).where('u.id', 'in', taken).orderBy('u.id'))
    return { candidates: rows.length, claimed }
  })
}

/**
 * Puts off those that still have to wait, now that their rows are locked: whoever frees the lane from here on waits for the
 * lock, and wakes them. What was due is kept beside, so that it is told from one that waits for its retry.
 */
async function snooze(session: Session, ids: readonly bigint[]): Promise<void> {
  if (ids.length === 0) return
  const { dialect } = session
  const { rows } = await sql<Candidate>`select ${rowId(dialect)}, ${isBlocked(dialect)} from ${sql.table('uploads')} u
    where u.id in (${sql.join(ids)})`.execute(session.db)
  const blocked = rows.filter((row) => Number(row.blocked) === 1).map((row) => BigInt(row.row_id))
  if (blocked.length === 0) return
  await session.db
    .updateTable('uploads')
    .set({ run_at: later(dialect, SNOOZE), lease_until: SNOOZED })
    .where('id', 'in', blocked)
    .execute()
}

/** After a refusal by the index: whichever of the first rows is not in contention. */
async function claimSingly(delayed: Delayed, limit: number): Promise<Claim> {
  const claimed: UploadRow[] = []
  let candidates = 0
  for (let skip = 0; claimed.length < limit;) {
    const one = await claimBatch(delayed, { width: 1, limit: 1, skip }).catch((error: unknown) => {
      if (!delayed.store.database.isUniqueViolation(error)) throw error
      skip += 1
      return null
    })
    if (one !== null && one.candidates === 0) break
    if (one !== null) {
      candidates += one.candidates
      claimed.push(...one.claimed)
    }
  }
  return { candidates, claimed }
}

const rowId = (dialect: Dialect): RawBuilder<string> => sql`${asText(dialect, 'u.id')} as row_id`

/**
 * Whether another of the lane is in the way: one that runs, or an older one that is due, snoozed or was never tried. An
 * older one that waits for its retry does not block.
 */
const isBlocked = (dialect: Dialect): RawBuilder<number> => sql`case when exists (
    select 1 from ${sql.table('uploads')} o
    where o.uploadable_type = u.uploadable_type and o.uploadable_id = u.uploadable_id and o.attr_name = u.attr_name
      and o.id <> u.id
      and (o.state = 'running' or (o.state = 'pending'
        and coalesce(o.origin_id, o.id) < coalesce(u.origin_id, u.id)
        and (o.run_at <= ${now(dialect)} or o.attempts = 0 or o.lease_until = ${sql.lit(SNOOZED)})))
  ) then 1 else 0 end as blocked`

/** Due rows, and whether they have to wait. */
async function candidatesOf(
  session: Session,
  delayed: Delayed,
  width: number,
  skip: number,
  only: string | null,
): Promise<readonly Candidate[]> {
  const { dialect } = session
  const { rows } = await sql<Candidate>`
    select ${rowId(dialect)}, ${isBlocked(dialect)}
    from ${sql.table('uploads')} u
    where u.state = 'pending' and u.run_at <= ${now(dialect)} and ${only === null ? sql`u.token is not null` : sql`u.token = ${only}`} and ${isKnown(delayed.known, 'u')} and ${hasFiles}
    order by u.run_at, u.id limit ${sql.lit(width)} offset ${sql.lit(skip)} ${lockClause(dialect, true)}`.execute(session.db)
  return rows
}

/** Those whose files are attached and whose hooks are due again: their worker died, or a hook threw. */
export async function claimHooks(delayed: Delayed, limit: number): Promise<UploadRow[]> {
  if (delayed.known.length === 0 || limit < 1) return []
  return delayed.store.transact(async (session) => {
    const mine = (query: UploadQuery): UploadQuery => query.where(isKnown(delayed.known, 'u'))
    const rows = await hooksDue(session, limit, (query) => mine(query).where('u.state', '=', 'attached'))
    // From the files, of which few wait to be told: failed uploads may be many.
    const untold = session.db.selectFrom('files').select('upload_token').where('state', '=', 'attached')
    if (rows.length < limit)
      rows.push(
        ...(await hooksDue(session, limit - rows.length, (query) =>
          mine(query).where('u.state', '=', 'failed').where('u.token', 'in', untold),
        )),
      )
    for (const row of rows)
      await session.db
        .updateTable('uploads')
        .set({
          attempts: row.state === 'attached' ? row.attempts + 1 : row.attempts,
          lease_token: hookLease(row),
          lease_until: later(session.dialect, LEASE),
        })
        .where('id', '=', BigInt(row.rowId))
        .execute()
    const ids = rows.map((row) => BigInt(row.rowId))
    return ids.length === 0 ? [] : fetchUploads(selectUploads(session).where('u.id', 'in', ids))
  })
}

async function hooksDue(session: Session, limit: number, which: (query: UploadQuery) => UploadQuery): Promise<UploadRow[]> {
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
