import { sql, type RawBuilder } from 'kysely'
import { bindId, type Lane, type LaneLock } from '../attachments/lane.ts'
import { now, nowPlus, railsNow } from '../database/expressions.ts'
import type { UploadState } from '../database/schema.ts'
import type { Session } from '../database/session.ts'
import { isInState, type Transitions } from '../database/transitions.ts'
import { createNotReadError } from '../database/errors.ts'
import { uuidv7 } from '../database/uuid.ts'
import { LEASE_MS } from '../jobs/leases.ts'
import { countKeeps, type Keeps } from './keeps.ts'
import {
  FILES_MARKER,
  findUpload,
  toUploadRow,
  selectedUploadColumns,
  type SelectedUpload,
  type UploadRow,
} from './upload-rows.ts'

const transitions = {
  insertUpload: { from: [], to: 'pending', fence: 'lane' },
  claimRankedUploads: { from: ['pending'], to: 'running', fence: 'row lock, one for each lane' },
  claimLockedUploads: { from: ['pending'], to: 'running', fence: 'row lock, one for each lane' },
  attachUpload: { from: ['running'], to: 'attached', fence: 'lease' },
  postponeUpload: { from: ['running'], to: 'pending', fence: 'lease' },
  failUpload: { from: ['running'], to: 'failed', fence: 'lease' },
  releaseUpload: { from: ['running'], to: 'pending', fence: 'lease' },
  reclaimUploads: { from: ['running'], to: 'pending', fence: 'row lock, the lease has ended' },
  failAbandonedUploads: { from: ['running'], to: 'failed', fence: 'row lock, the lease has ended' },
  failGemRow: { from: ['pending'], to: 'failed', fence: 'lane' },
  returnGemRow: { from: ['failed'], to: 'pending', fence: 'lane' },
  deleteUploads: {
    from: ['pending', 'running', 'attached', 'failed'],
    to: null,
    fence: 'lease, lane, or state and age',
  },
  deleteGemRowsById: { from: ['pending'], to: null, fence: 'row lock, it has no token' },
} as const satisfies Transitions<UploadState>

/**
 * All changes of an upload's state, by the function below that makes each. No other module writes
 * the state or deletes a row. A test compares the table with the diagram in docs/how-it-works.md.
 */
export const UPLOAD_TRANSITIONS: Transitions<UploadState> = transitions

/** Starts an update of the state, from the states that the transition begins in. */
function updateState(
  session: Session,
  { from, to }: { readonly from: readonly UploadState[]; readonly to: UploadState },
) {
  return session.db.updateTable('uploads').set({ state: to }).where(isInState(from))
}

/** Starts the same update for the run that has the upload's lease. */
function updateHeldState(
  session: Session,
  { rowId, leaseToken }: Pick<UploadRow, 'rowId' | 'leaseToken'>,
  transition: { readonly from: readonly UploadState[]; readonly to: UploadState },
) {
  return updateState(session, transition)
    .where('id', '=', BigInt(rowId))
    .where('lease_token', '=', leaseToken)
}

/** The values of a new upload. */
export interface UploadValues {
  readonly token: string
  readonly lane: Lane
  readonly cleanBefore: boolean
  /** Ids of attachments to delete when it attaches; null: it adds to a has-many. */
  readonly replaces: readonly string[] | null
  readonly keeps: Keeps
  /** Id of the gem's row whose place in the lane it takes. */
  readonly originId?: string
}

/**
 * Inserts an upload that is due at once, and returns its row. The lane must be locked, so that the
 * ids of a lane are in the order of commits.
 */
export async function insertUpload(session: Session, upload: UploadValues): Promise<UploadRow> {
  const { lane, cleanBefore, keeps } = upload
  const insert = session.db.insertInto('uploads').values({
    uploadable_type: lane.type,
    uploadable_id: bindId(lane.id, session.recordId),
    attr_name: lane.name,
    deleted_ids: '',
    clean_before: sql<number>`${sql.lit(session.dialect === 'postgres' ? cleanBefore : Number(cleanBefore))}`,
    files: FILES_MARKER,
    created_at: railsNow(session.dialect),
    updated_at: railsNow(session.dialect),
    token: upload.token,
    state: transitions.insertUpload.to,
    origin_id: upload.originId === undefined ? null : BigInt(upload.originId),
    replaces: upload.replaces === null ? null : JSON.stringify(upload.replaces),
    keeps: countKeeps(keeps) === 0 ? null : JSON.stringify(keeps),
    run_at: now(session.dialect),
  })
  if (session.returning)
    return toUploadRow(
      await insert
        .returning(selectedUploadColumns(session.dialect, 'uploads'))
        .executeTakeFirstOrThrow(),
    )
  await insert.execute()
  const row = await findUpload(session, upload.token, { lock: true })
  if (row === null) throw createNotReadError(`The upload ${upload.token}`)
  return row
}

/**
 * Claims due uploads in one statement. `candidates`: due rows, locked, with `id`, `run_at` and
 * `blocked` (1: another upload of the lane comes first). Returns the rows that it claimed, at most
 * `limit`, and all blocked rows, unchanged.
 */
export async function claimRankedUploads(
  session: Session,
  candidates: RawBuilder<unknown>,
  limit: number,
): Promise<SelectedUpload[]> {
  const { dialect } = session
  const { from, to } = transitions.claimRankedUploads
  const { rows } = await sql<SelectedUpload>`
    with candidates as materialized (${candidates}),
      ranked as (select id, blocked, row_number() over (partition by blocked order by run_at, id) as place from candidates)
    update ${sql.table('uploads')} set
      state = case when blocked = 0 then ${to} else state end,
      attempts = case when blocked = 0 then attempts + 1 else attempts end,
      lease_token = case when blocked = 0 then ${uuidv7()} else lease_token end,
      lease_until = case when blocked = 0 then ${nowPlus(dialect, LEASE_MS)} else lease_until end
    from ranked where ranked.id = ${sql.ref('uploads.id')} and ${isInState(from)} and (blocked = 1 or place <= ${sql.lit(limit)})
    returning ${sql.join(selectedUploadColumns(dialect, 'uploads'))}`.execute(session.db)
  return rows
}

/** Claims uploads whose rows the transaction has locked. */
export async function claimLockedUploads(session: Session, ids: readonly bigint[]): Promise<void> {
  await updateState(session, transitions.claimLockedUploads)
    .set({
      attempts: sql`attempts + 1`,
      lease_token: uuidv7(),
      lease_until: nowPlus(session.dialect, LEASE_MS),
    })
    .where('id', 'in', ids)
    .execute()
}

/** Records that all files are attached. The lane is free; the lease stays for the hooks. */
export async function attachUpload(session: Session, upload: UploadRow): Promise<void> {
  await updateHeldState(session, upload, transitions.attachUpload)
    .set({ attempts: 0, run_at: now(session.dialect) })
    .execute()
}

/** The end of an attempt in which files failed. */
export interface FailedAttempt {
  /** Time of the next attempt, or of the failure, in milliseconds by the database's clock. */
  readonly runAt: number
  /** Attempts that are used up. */
  readonly attempts: number
  /** Since when a service has been unavailable, by the database's clock; 0: none is. */
  readonly unavailableSince: number
  readonly lastError: string
}

const failedAttemptColumns = (attempt: FailedAttempt) => ({
  run_at: attempt.runAt,
  attempts: attempt.attempts,
  unavailable_since: attempt.unavailableSince,
  lease_token: null,
  lease_until: 0,
  last_error: attempt.lastError,
})

/** Records failures of files, at least one of which is retried. */
export async function postponeUpload(
  session: Session,
  upload: UploadRow,
  attempt: FailedAttempt,
): Promise<void> {
  await updateHeldState(session, upload, transitions.postponeUpload)
    .set(failedAttemptColumns(attempt))
    .execute()
}

/**
 * Records that no file is retried. `attempt` is null when the files that are left failed in an
 * earlier attempt: their errors stay, and the lease stays for the hooks of the attached files.
 */
export async function failUpload(
  session: Session,
  upload: UploadRow,
  attempt: FailedAttempt | null,
): Promise<void> {
  await updateHeldState(session, upload, transitions.failUpload)
    .set(attempt === null ? { run_at: now(session.dialect) } : failedAttemptColumns(attempt))
    .execute()
}

/**
 * Releases an upload, so that it is due at once. The attempt that its claim counted is taken back.
 * An upload that is attached already only loses its lease, and its hooks are due.
 */
export async function releaseUpload(session: Session, upload: UploadRow): Promise<void> {
  const due = { lease_token: null, lease_until: 0, run_at: 0, enqueued_at: 0 }
  const { numUpdatedRows } = await updateHeldState(session, upload, transitions.releaseUpload)
    .set({ ...due, attempts: sql`case when attempts > 0 then attempts - 1 else 0 end` })
    .executeTakeFirst()
  if (Number(numUpdatedRows) > 0) return
  await session.db
    .updateTable('uploads')
    .set(due)
    .where('id', '=', BigInt(upload.rowId))
    .where('lease_token', '=', upload.leaseToken)
    .execute()
}

/** Makes uploads whose worker died due again. Their rows must be locked, their leases ended. */
export async function reclaimUploads(session: Session, tokens: readonly string[]): Promise<void> {
  if (tokens.length === 0) return
  await updateState(session, transitions.reclaimUploads)
    .set({ lease_token: null, lease_until: 0, run_at: 0, enqueued_at: 0 })
    .where('token', 'in', tokens)
    .execute()
}

/** Fails uploads whose worker died in the last attempt. Rows must be locked, leases ended. */
export async function failAbandonedUploads(
  session: Session,
  tokens: readonly string[],
  lastError: string,
): Promise<void> {
  if (tokens.length === 0) return
  await updateState(session, transitions.failAbandonedUploads)
    .set({ lease_token: null, run_at: now(session.dialect), last_error: lastError })
    .where('token', 'in', tokens)
    .execute()
}

/** Condition under which rows of uploads may be deleted. */
export type DeleteFence =
  /** The run that holds this lease has ended them. */
  | { readonly by: 'lease'; readonly leaseToken: string | null }
  /** The transaction holds the locks of their lanes. */
  | { readonly by: 'lane'; readonly lock: LaneLock }
  /** They have been due in this state for so many milliseconds. */
  | { readonly by: 'age'; readonly state: UploadState; readonly milliseconds: number }

/** Deletes rows of uploads that meet the fence, not their files. Returns how many it deleted. */
export async function deleteUploads(
  session: Session,
  uploads: readonly Pick<UploadRow, 'rowId'>[],
  fence: DeleteFence,
): Promise<number> {
  if (uploads.length === 0) return 0
  let query = session.db.deleteFrom('uploads').where(
    'id',
    'in',
    uploads.map(({ rowId }) => BigInt(rowId)),
  )
  if (fence.by === 'lease') query = query.where('lease_token', '=', fence.leaseToken)
  if (fence.by === 'age')
    query = query
      .where('state', '=', fence.state)
      .where('run_at', '<=', nowPlus(session.dialect, -fence.milliseconds))
  return Number((await query.executeTakeFirst()).numDeletedRows)
}

/** Fails a row of the Ruby gem that cannot be read; a retry reads it again. Lock the lane first. */
export async function failGemRow(
  session: Session,
  rowId: string,
  lastError: string,
): Promise<void> {
  await updateState(session, transitions.failGemRow)
    .set({ token: uuidv7(), last_error: lastError })
    .where('id', '=', BigInt(rowId))
    .execute()
}

/** Gives an unreadable row back to the gem: the next sweep reads it. Lock the lane first. */
export async function returnGemRow(session: Session, token: string): Promise<void> {
  await updateState(session, transitions.returnGemRow)
    .set({ token: null, last_error: null })
    .where('token', '=', token)
    .execute()
}

/** Deletes rows of the Ruby gem. The transaction must have locked them. */
export async function deleteGemRowsById(session: Session, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await session.db
    .deleteFrom('uploads')
    .where('token', 'is', null)
    .where('id', 'in', ids.map(BigInt))
    .execute()
}
