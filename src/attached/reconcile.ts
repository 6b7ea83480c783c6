import { sql } from 'kysely'
import { bindId } from '../attachments/lane.ts'
import { asText, railsAgo } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { isOwnUpload } from '../delayed/upload-rows.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import type { Duration } from '../options/units.ts'

/** Records per statement. */
const RECORDS_PER_PAGE = 200

/** Of `storage.reconcile`. */
export interface ReconcileOptions {
  /** true: nothing is removed, only counted. Default: false. */
  readonly dryRun?: boolean
  /** Records whose newest file is younger are left alone. Default: '1h'. */
  readonly olderThan?: Duration
}
/** What `storage.reconcile` found. */
export interface ReconcileResult {
  /** How many records are gone that had attachments or pending uploads; with `dryRun`, they still have them. */
  readonly removed: number
}

export interface ReconcileTask {
  readonly session: Session
  readonly types: readonly string[]
  readonly dryRun: boolean
  /** Milliseconds. */
  readonly olderThan: number
  exists(type: string, id: string): Promise<boolean>
  /** Unless the record came back meanwhile: `isYoung` asks again when nothing more can be submitted for it. */
  purge(type: string, id: string, isYoung: (tx: Session) => Promise<boolean>): Promise<boolean>
}

/**
 * Page by page, whatever their number. What a lookup throws ends it, with each record as it was or wholly removed: files are
 * committed with their record, so that one which is not found was deleted, unless the lookup asks a replica that lags.
 */
export async function reconcile({
  session,
  types,
  dryRun,
  olderThan,
  exists,
  purge,
}: ReconcileTask): Promise<ReconcileResult> {
  let removed = 0
  for (const type of types) {
    // A dry run meets a record in both tables, which say no more than how old what is in the one is.
    const counted = new Set<string>()
    for (const pageAfter of [findAttachedRecords, findUploadingRecords])
      for (let after: string | null = null, isLast = false; !isLast;) {
        const page: string[] = await pageAfter(session, type, after, olderThan)
        for (const id of page) {
          if (counted.has(id) || (await recordExists(type, id, exists))) continue
          const isYoung = (on: Session): Promise<boolean> => hasNewerFiles(on, type, id, olderThan)
          if (dryRun ? await isYoung(session) : !(await purge(type, id, isYoung))) continue
          if (dryRun) counted.add(id)
          removed += 1
        }
        isLast = page.length < RECORDS_PER_PAGE
        after = page.at(-1) ?? null
      }
  }
  return { removed }
}

async function recordExists(
  type: string,
  id: string,
  exists: ReconcileTask['exists'],
): Promise<boolean> {
  try {
    return await exists(type, id)
  } catch (error) {
    throw new ConfigurationError(
      `reconcile: whether there is a ${type} ${id} could not be told: ${messageOf(error)}. What was removed until then was gone.`,
      { cause: error, details: { record: { type, id } } },
    )
  }
}

async function hasNewerFiles(
  session: Session,
  type: string,
  id: string,
  olderThan: number,
): Promise<boolean> {
  const since = railsAgo(session.dialect, olderThan)
  const record = bindId(id, session.recordId)
  const attached = session.db
    .selectFrom('attachments')
    .select('name')
    .where('record_type', '=', type)
    .where('record_id', '=', record)
  if ((await attached.where('created_at', '>', since).executeTakeFirst()) !== undefined) return true
  const uploads = session.db
    .selectFrom('uploads')
    .select('attr_name')
    .where('uploadable_type', '=', type)
    .where('uploadable_id', '=', record)
  return (await uploads.where('created_at', '>', since).executeTakeFirst()) !== undefined
}

async function findAttachedRecords(
  session: Session,
  type: string,
  after: string | null,
  olderThan: number,
): Promise<string[]> {
  let query = session.db
    .selectFrom('attachments as a')
    .select(asText(session.dialect, 'a.record_id').as('record'))
    .where('a.record_type', '=', type)
    .groupBy('a.record_id')
    .having(sql`max(a.created_at)`, '<=', railsAgo(session.dialect, olderThan))
    .orderBy('a.record_id')
    .limit(RECORDS_PER_PAGE)
  if (after !== null) query = query.where('a.record_id', '>', bindId(after, session.recordId))
  return (await query.execute()).map(({ record }) => record)
}

async function findUploadingRecords(
  session: Session,
  type: string,
  after: string | null,
  olderThan: number,
): Promise<string[]> {
  let query = session.db
    .selectFrom('uploads as u')
    .select(asText(session.dialect, 'u.uploadable_id').as('record'))
    .where('u.uploadable_type', '=', type)
    .where('u.uploadable_id', 'is not', null)
    .where(isOwnUpload)
    .groupBy('u.uploadable_id')
    .having(sql`max(u.created_at)`, '<=', railsAgo(session.dialect, olderThan))
    .orderBy('u.uploadable_id')
    .limit(RECORDS_PER_PAGE)
  if (after !== null) query = query.where('u.uploadable_id', '>', bindId(after, session.recordId))
  return (await query.execute()).map(({ record }) => record)
}
