import { sql, type AliasableExpression } from 'kysely'
import { bindId } from '../attachments/lane.ts'
import { asText, railsAgo } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { isOwnUpload } from '../delayed/upload-rows.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import type { Duration } from '../options/units.ts'

/** Records per statement. */
const RECORDS_PER_PAGE = 200

/** Options of `storage.reconcile`. */
export interface ReconcileOptions {
  /** true: counts records, and removes nothing. Default: false. */
  readonly dryRun?: boolean
  /** Skips records whose newest file is younger. Default: '1h'. */
  readonly olderThan?: Duration
  /** Ends the run between two records; those that were purged until then stay purged. */
  readonly signal?: AbortSignal
}
/** Result of `storage.reconcile`. */
export interface ReconcileResult {
  /**
   * Number of deleted records that had attachments or pending uploads. With `dryRun` these are
   * still there.
   */
  readonly removed: number
}

/** A run of `reconcile` over some models. */
export interface ReconcileTask {
  readonly session: Session
  /** Names of the models. */
  readonly types: readonly string[]
  readonly dryRun: boolean
  /** Milliseconds. */
  readonly olderThan: number
  readonly signal?: AbortSignal | undefined
  /** Looks up a record in the app's database. */
  exists(type: string, id: string): Promise<boolean>
  /**
   * Purges a record's files, unless `keepIf` returns true, which is called when nothing more can be
   * submitted for the record. Returns false if the files are kept.
   */
  purge(type: string, id: string, keepIf: (tx: Session) => Promise<boolean>): Promise<boolean>
}

/**
 * Purges the files of records that were deleted past their hooks, page by page. Files are committed
 * with their record, so a record that is not found was deleted, unless the lookup asks a replica
 * that lags. An error of a lookup ends the run; each record is then purged entirely or not at all.
 */
export async function reconcile({
  session,
  types,
  dryRun,
  olderThan,
  signal,
  exists,
  purge,
}: ReconcileTask): Promise<ReconcileResult> {
  let removed = 0
  for (const type of types) {
    // A record may be in both tables. A dry run leaves it there, and must count it once.
    const counted = new Set<string>()
    for (const source of [selectAttachments, selectUploads])
      for (let after: string | null = null, isLast = false; !isLast;) {
        const rows = source(session.db)
        const page: string[] = await findRecords(session, type, rows, { after, olderThan })
        for (const id of page) {
          signal?.throwIfAborted()
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
      `reconcile could not look up ${type} ${id}: ${messageOf(error)}. Records that were purged before stay purged.`,
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

/** Query of the rows of one table that belong to records. */
type RecordRows = AliasableExpression<{
  readonly type: string | null
  readonly id: string | number | bigint | null
  readonly created_at: string
}>

const selectAttachments = (db: Session['db']): RecordRows =>
  db.selectFrom('attachments').select(['record_type as type', 'record_id as id', 'created_at'])

const selectUploads = (db: Session['db']): RecordRows =>
  db
    .selectFrom('uploads as u')
    .select(['u.uploadable_type as type', 'u.uploadable_id as id', 'u.created_at'])
    .where('u.uploadable_id', 'is not', null)
    .where(isOwnUpload)

/** Finds the next records that have rows, of which none is newer than `olderThan` milliseconds. */
async function findRecords(
  { db, dialect, recordId }: Session,
  type: string,
  rows: RecordRows,
  { after, olderThan }: { readonly after: string | null; readonly olderThan: number },
): Promise<string[]> {
  let query = db
    .selectFrom(rows.as('r'))
    .select(asText(dialect, 'r.id').as('record'))
    .where('r.type', '=', type)
    .groupBy('r.id')
    .having(sql`max(r.created_at)`, '<=', railsAgo(dialect, olderThan))
    .orderBy('r.id')
    .limit(RECORDS_PER_PAGE)
  if (after !== null) query = query.where('r.id', '>', bindId(after, recordId))
  return (await query.execute()).map(({ record }) => record)
}
