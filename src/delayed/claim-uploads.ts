import { sql, type RawBuilder } from 'kysely'
import type { Dialect } from '../database/database.ts'
import { asText, nowPlus, now } from '../database/expressions.ts'
import { lockClause } from '../database/row-locks.ts'
import type { Session } from '../database/session.ts'
import type { DelayedContext } from './context.ts'
import {
  fetchUploads,
  hasFiles,
  isKnownAttachment,
  selectUploads,
  SNOOZED_LEASE,
  uploadOf,
  type UploadRow,
} from './upload-rows.ts'
import { claimRankedUploads, claimLockedUploads } from './upload-transitions.ts'

const SNOOZE_MS = 30_000
const MAX_WIDTH = 1024

/**
 * Takes due uploads whose turn it is. One lane runs one upload at a time: those that have to wait are put off, so that a
 * long lane is not walked again by every claim. The unique index on running lanes is the hard guarantee; when it refuses,
 * the others are claimed one by one.
 */
export async function claimUploads(
  delayed: DelayedContext,
  limit: number,
  only: string | null = null,
): Promise<UploadRow[]> {
  const { store } = delayed
  if (delayed.knownAttachments.length === 0 || limit < 1) return []
  for (let width = limit; ; width = Math.min(width * 4, MAX_WIDTH)) {
    const { claimed, blocked } = await claimBatch(delayed, { width, limit, skip: 0, only }).catch(
      async (error: unknown) => {
        if (!store.database.isUniqueViolation(error)) throw error
        // The one that was asked for is in contention: whoever has its lane wakes it.
        return { claimed: only === null ? await claimOneByOne(delayed, limit) : [], blocked: [] }
      },
    )
    if (claimed.length > 0 || blocked.length < width || width === MAX_WIDTH) return claimed
  }
}

interface ClaimScope {
  /** How many due rows to look at. */
  readonly width: number
  readonly limit: number
  readonly skip: number
  /** The token of the one upload to look at. */
  readonly only: string | null
}

interface ClaimResult {
  readonly claimed: readonly UploadRow[]
  /** Ids of those that were looked at and have to wait. */
  readonly blocked: readonly bigint[]
}

async function claimBatch(
  delayed: DelayedContext,
  width: ClaimScope,
): Promise<{ claimed: UploadRow[]; blocked: readonly bigint[] }> {
  const { store } = delayed
  const { claimed, blocked } = store.session.returning
    ? await claimInOneStatement(store.session, delayed, width)
    : await store.transact((session) => claimInTransaction(session, delayed, width))
  if (blocked.length > 0)
    await store
      .transact((session) => snooze(session, blocked))
      .catch((error: unknown) => {
        // What is claimed is begun in any case; the others are only looked at again.
        if (claimed.length === 0) throw error
        delayed.log('debug', 'Uploads that have to wait could not be put off.', { error })
      })
  return { claimed: claimed.toSorted((a, b) => Number(BigInt(a.rowId) - BigInt(b.rowId))), blocked }
}

/** One statement, so that work begins a round trip after it is heard of. Those that have to wait come back as they are. */
async function claimInOneStatement(
  session: Session,
  delayed: DelayedContext,
  width: ClaimScope,
): Promise<ClaimResult> {
  const candidates = selectCandidates(session.dialect, delayed, width)
  const rows = await claimRankedUploads(session, candidates, width.limit)
  return {
    claimed: rows.filter((row) => row.state === 'running').map(uploadOf),
    blocked: idsOf(rows.filter((row) => row.state !== 'running')),
  }
}

interface Candidate {
  readonly row_id: string
  readonly blocked: number
}

const rowId = (dialect: Dialect): RawBuilder<string> => sql`${asText(dialect, 'u.id')} as row_id`
const idsOf = (rows: readonly Pick<Candidate, 'row_id'>[]): bigint[] =>
  rows.map((row) => BigInt(row.row_id))
const isFree = (row: Candidate): boolean => Number(row.blocked) === 0

/** The same in a transaction, where a database does not say what it changed. */
async function claimInTransaction(
  session: Session,
  delayed: DelayedContext,
  width: ClaimScope,
): Promise<ClaimResult> {
  const { rows } =
    await sql<Candidate>`${selectCandidates(session.dialect, delayed, width)}`.execute(session.db)
  const taken = idsOf(rows.filter(isFree)).slice(0, width.limit)
  const blocked = idsOf(rows.filter((row) => !isFree(row)))
  if (taken.length === 0) return { claimed: [], blocked }
  await claimLockedUploads(session, taken)
  return { claimed: await fetchUploads(selectUploads(session).where('u.id', 'in', taken)), blocked }
}

/**
 * Puts off those that still have to wait when their rows are locked: whoever frees the lane from there on waits for the
 * lock, and wakes them. What was due is kept beside, so that it is told from one that waits for its retry.
 */
async function snooze(session: Session, ids: readonly bigint[]): Promise<void> {
  const { dialect } = session
  const due = sql`u.state = 'pending' and u.run_at <= ${now(dialect)}`
  const locked = await sql<
    Pick<Candidate, 'row_id'>
  >`select ${rowId(dialect)} from ${sql.table('uploads')} u
    where u.id in (${sql.join(ids)}) and ${due} order by u.id ${lockClause(dialect, { skipLocked: true })}`.execute(
    session.db,
  )
  if (locked.rows.length === 0) return
  const { rows } =
    await sql<Candidate>`select ${rowId(dialect)}, ${isBlocked(dialect)} from ${sql.table('uploads')} u
    where u.id in (${sql.join(idsOf(locked.rows))})`.execute(session.db)
  const blocked = idsOf(rows.filter((row) => !isFree(row)))
  if (blocked.length === 0) return
  await session.db
    .updateTable('uploads')
    .set({ run_at: nowPlus(dialect, SNOOZE_MS), lease_until: SNOOZED_LEASE })
    .where('id', 'in', blocked)
    .execute()
}

/** After a refusal by the index: whichever of the first rows is not in contention. */
async function claimOneByOne(delayed: DelayedContext, limit: number): Promise<UploadRow[]> {
  const all: UploadRow[] = []
  for (let skip = 0; all.length < limit;) {
    const one = await claimBatch(delayed, { width: 1, limit: 1, skip, only: null }).catch(
      (error: unknown) => {
        if (delayed.store.database.isUniqueViolation(error)) return 'contended'
        if (all.length === 0) throw error
        return 'over'
      },
    )
    if (one === 'over') break
    if (one === 'contended') {
      skip += 1
      continue
    }
    if (one.claimed.length + one.blocked.length === 0) break
    all.push(...one.claimed)
  }
  return all
}

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
        and (o.run_at <= ${now(dialect)} or (o.attempts = 0 and o.unavailable_since = 0) or o.lease_until = ${sql.lit(SNOOZED_LEASE)})))
  ) then 1 else 0 end as blocked`

/** Due rows that nobody holds, and whether they have to wait. */
function selectCandidates(
  dialect: Dialect,
  { knownAttachments: known }: Pick<DelayedContext, 'knownAttachments'>,
  { width, skip, only }: ClaimScope,
): RawBuilder<Candidate> {
  return sql<Candidate>`select u.id, ${rowId(dialect)}, u.run_at, ${isBlocked(dialect)}
    from ${sql.table('uploads')} u
    where u.state = 'pending' and u.run_at <= ${now(dialect)} and ${only === null ? sql`u.token is not null` : sql`u.token = ${only}`} and ${isKnownAttachment(known)} and ${hasFiles}
    order by u.run_at, u.id limit ${sql.lit(width)} offset ${sql.lit(skip)} ${lockClause(dialect, { skipLocked: true })}`
}
