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
  toUploadRow,
  type UploadRow,
} from './upload-rows.ts'
import { claimRankedUploads, claimLockedUploads } from './upload-transitions.ts'
import { SNOOZED_LEASE } from './wake-lane.ts'

/** Time for which a due upload is put off when its lane is busy. */
const SNOOZE_MS = 30_000
/** Number of due rows that one statement looks at. */
const MAX_WIDTH = 1024

/** The members of the context that claims use. */
export type ClaimContext = Pick<DelayedContext, 'store' | 'knownAttachments' | 'log'>

/**
 * Claims due uploads, at most `limit`, the oldest of each lane. `only`: the token of the one upload
 * to claim. One upload of a lane runs at a time: the unique index on running lanes guarantees it,
 * and when it refuses a batch, uploads are claimed one by one. Uploads that wait for their lane are
 * put off, so that the next claims do not look at them.
 */
export async function claimUploads(
  context: ClaimContext,
  limit: number,
  only: string | null = null,
): Promise<UploadRow[]> {
  if (context.knownAttachments.length === 0 || limit < 1) return []
  for (let width = limit; ; width = Math.min(width * 4, MAX_WIDTH)) {
    const scope = { width, limit, skip: 0, only }
    const { claimed, blocked } = await claimBatch(context, scope).catch(async (error: unknown) => {
      if (!context.store.database.isUniqueViolation(error)) throw error
      // Another upload of the lane of `only` was claimed just now, and wakes `only` at its end.
      return { claimed: only === null ? await claimOneByOne(context, limit) : [], blocked: [] }
    })
    if (claimed.length > 0 || blocked.length < width || width === MAX_WIDTH) return claimed
  }
}

interface ClaimScope {
  /** How many due rows to look at. */
  readonly width: number
  /** How many to claim at most. */
  readonly limit: number
  /** How many due rows to leave out first. */
  readonly skip: number
  /** The token of the one upload to look at. */
  readonly only: string | null
}

interface ClaimResult {
  readonly claimed: UploadRow[]
  /** Ids of due rows that wait for another upload of their lane. */
  readonly blocked: readonly bigint[]
}

async function claimBatch(context: ClaimContext, scope: ClaimScope): Promise<ClaimResult> {
  const { store } = context
  const { claimed, blocked } = store.session.returning
    ? await claimInOneStatement(store.session, context, scope)
    : await store.transact((session) => claimInTransaction(session, context, scope))
  if (blocked.length > 0)
    await store
      .transact((session) => snooze(session, blocked))
      .catch((error: unknown) => {
        // Claimed uploads must be run, so the error is not thrown. The next claim finds the others.
        if (claimed.length === 0) throw error
        context.log('debug', 'Uploads whose lane is busy could not be put off.', { error })
      })
  return { claimed: claimed.toSorted((a, b) => Number(BigInt(a.rowId) - BigInt(b.rowId))), blocked }
}

/** Claims in one statement, so that work starts one round trip after the worker hears of it. */
async function claimInOneStatement(
  session: Session,
  context: ClaimContext,
  scope: ClaimScope,
): Promise<ClaimResult> {
  const candidates = selectCandidates(session.dialect, context, scope)
  const rows = await claimRankedUploads(session, candidates, scope.limit)
  return {
    claimed: rows.filter((row) => row.state === 'running').map(toUploadRow),
    blocked: toIds(rows.filter((row) => row.state !== 'running')),
  }
}

interface Candidate {
  readonly row_id: string
  readonly blocked: number
}

const rowId = (dialect: Dialect): RawBuilder<string> => sql`${asText(dialect, 'u.id')} as row_id`
const toIds = (rows: readonly Pick<Candidate, 'row_id'>[]): bigint[] =>
  rows.map((row) => BigInt(row.row_id))
const isFree = (row: Candidate): boolean => Number(row.blocked) === 0

/** Claims in a transaction, for a database whose statements do not return what they changed. */
async function claimInTransaction(
  session: Session,
  context: ClaimContext,
  scope: ClaimScope,
): Promise<ClaimResult> {
  const candidates = selectCandidates(session.dialect, context, scope)
  const { rows } = await sql<Candidate>`${candidates}`.execute(session.db)
  const ids = toIds(rows.filter(isFree)).slice(0, scope.limit)
  const blocked = toIds(rows.filter((row) => !isFree(row)))
  if (ids.length === 0) return { claimed: [], blocked }
  await claimLockedUploads(session, ids)
  return { claimed: await fetchUploads(selectUploads(session).where('u.id', 'in', ids)), blocked }
}

/**
 * Puts off the uploads that are still blocked once their rows are locked. A run that frees the lane
 * later waits for the lock, and then wakes them. SNOOZED_LEASE tells them from uploads that wait
 * for their retry.
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
    where u.id in (${sql.join(toIds(locked.rows))})`.execute(session.db)
  const blocked = toIds(rows.filter((row) => !isFree(row)))
  if (blocked.length === 0) return
  await session.db
    .updateTable('uploads')
    .set({ run_at: nowPlus(dialect, SNOOZE_MS), lease_until: SNOOZED_LEASE })
    .where('id', 'in', blocked)
    .execute()
}

/** Claims one row at a time, after the unique index refused a batch. Skips rows that it refuses. */
async function claimOneByOne(context: ClaimContext, limit: number): Promise<UploadRow[]> {
  const all: UploadRow[] = []
  for (let skip = 0; all.length < limit;) {
    try {
      const one = await claimBatch(context, { width: 1, limit: 1, skip, only: null })
      if (one.claimed.length + one.blocked.length === 0) break
      all.push(...one.claimed)
    } catch (error) {
      if (context.store.database.isUniqueViolation(error)) skip += 1
      else if (all.length === 0) throw error
      else break
    }
  }
  return all
}

/**
 * Selects 1 as `blocked` if another upload of the lane comes first: one that runs, or an older one
 * that is due, snoozed or was never tried. An older one that waits for its retry does not block.
 */
const isBlocked = (dialect: Dialect): RawBuilder<number> => sql`case when exists (
    select 1 from ${sql.table('uploads')} o
    where o.uploadable_type = u.uploadable_type and o.uploadable_id = u.uploadable_id and o.attr_name = u.attr_name
      and o.id <> u.id
      and (o.state = 'running' or (o.state = 'pending'
        and coalesce(o.origin_id, o.id) < coalesce(u.origin_id, u.id)
        and (o.run_at <= ${now(dialect)} or (o.attempts = 0 and o.unavailable_since = 0) or o.lease_until = ${sql.lit(SNOOZED_LEASE)})))
  ) then 1 else 0 end as blocked`

/** Selects due rows that no transaction has locked, and whether they are blocked. */
function selectCandidates(
  dialect: Dialect,
  { knownAttachments }: ClaimContext,
  { width, skip, only }: ClaimScope,
): RawBuilder<Candidate> {
  return sql<Candidate>`select u.id, ${rowId(dialect)}, u.run_at, ${isBlocked(dialect)}
    from ${sql.table('uploads')} u
    where u.state = 'pending' and u.run_at <= ${now(dialect)} and ${only === null ? sql`u.token is not null` : sql`u.token = ${only}`} and ${isKnownAttachment(knownAttachments)} and ${hasFiles}
    order by u.run_at, u.id limit ${sql.lit(width)} offset ${sql.lit(skip)} ${lockClause(dialect, { skipLocked: true })}`
}
