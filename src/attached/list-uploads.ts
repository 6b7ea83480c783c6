import { sql, type RawBuilder } from 'kysely'
import { bindId } from '../attachments/lane.ts'
import type { Dialect } from '../database/database.ts'
import type { Session } from '../database/session.ts'
import {
  fetchUploadsWithFiles,
  isOwnUpload,
  selectUploads,
  type UploadWithFiles,
} from '../delayed/upload-rows.ts'
import type { UploadConditions } from './upload-filter.ts'

/** Reads one page of unfinished uploads of all records, in one statement. */
export async function listUploads(
  session: Session,
  conditions: UploadConditions,
): Promise<UploadWithFiles[]> {
  const { dialect } = session
  const { model, attachment, recordId, state, error, createdFrom, createdBefore } = conditions
  let query = selectUploads(session).where(isOwnUpload)
  query =
    state === null ? query.where('u.state', '!=', 'attached') : query.where('u.state', '=', state)
  if (model !== null) query = query.where('u.uploadable_type', '=', model)
  if (attachment !== null) query = query.where('u.attr_name', '=', attachment)
  if (recordId !== null)
    query = query.where('u.uploadable_id', '=', bindId(recordId, session.recordId))
  if (error !== null) query = query.where(containsError(dialect, error))
  if (createdFrom !== null)
    query = query.where(sql<boolean>`u.created_at >= ${bindRailsTime(dialect, createdFrom)}`)
  if (createdBefore !== null)
    query = query.where(sql<boolean>`u.created_at < ${bindRailsTime(dialect, createdBefore)}`)
  // Tokens sort by time. A keyset needs no row of the page before: that upload may be finished.
  const isNewestFirst = conditions.order === 'newest'
  if (conditions.after !== null)
    query = query.where('u.token', isNewestFirst ? '<' : '>', conditions.after)
  const rows = await fetchUploadsWithFiles(
    session,
    query.orderBy('u.token', isNewestFirst ? 'desc' : 'asc').limit(conditions.limit),
  )
  const sign = isNewestFirst ? -1 : 1
  return rows.toSorted((a, b) => (a.upload.token < b.upload.token ? -sign : sign))
}

function containsError(dialect: Dialect, text: string): RawBuilder<boolean> {
  return dialect === 'postgres'
    ? sql<boolean>`strpos(lower(u.last_error), ${text}) > 0`
    : sql<boolean>`instr(lower(u.last_error), ${text}) > 0`
}

/** Binds a time as Rails writes it: UTC without a zone. */
function bindRailsTime(dialect: Dialect, time: Date): RawBuilder<string> {
  const text = time.toISOString().replace('T', ' ').replace('Z', '')
  return dialect === 'postgres' ? sql<string>`cast(${text} as timestamp)` : sql<string>`${text}`
}
