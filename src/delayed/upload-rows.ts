import { sql, type AliasedRawBuilder, type RawBuilder, type SelectQueryBuilder } from 'kysely'
import { bindId, type Lane } from '../attachments/lane.ts'
import { lockRows, type ReadOptions } from '../database/row-locks.ts'
import { asText } from '../database/expressions.ts'
import type { Dialect } from '../database/database.ts'
import type { Schema, UploadState } from '../database/schema.ts'
import type { Session } from '../database/session.ts'
import { parseRailsTime } from '../blobs/blob-rows.ts'
import { fileColumns, fileRowOf, type FileRow } from '../staging/file-rows.ts'
import { KEEPS_NOTHING, type Keeps } from './keeps.ts'

/** A delayed upload: one row of activestorage_delayed_uploads that has our token. */
export interface UploadRow {
  /** Its place in the table; changes when a person retries. `token` is the identity. */
  readonly rowId: string
  readonly order: bigint
  readonly token: string
  readonly lane: Lane
  readonly state: UploadState
  readonly cleanBefore: boolean
  /** Attachment ids that go when this attaches; null: it appends. */
  readonly replaces: readonly string[] | null
  /** What its submission named itself. */
  readonly keeps: Keeps
  readonly attempts: number
  readonly runAt: number
  readonly leaseToken: string | null
  readonly lastError: string | null
  readonly createdAt: Date
}

export interface SelectedUpload {
  readonly row_id: string
  readonly origin_id: string | null
  readonly token: string | null
  readonly type: string | null
  readonly record: string
  readonly name: string | null
  readonly state: UploadState
  readonly clean_before: number | null
  readonly replaces: string | null
  readonly keeps: string | null
  readonly attempts: number
  readonly run_at: string
  readonly lease_token: string | null
  readonly last_error: string | null
  readonly created_at: string
}

/** Uploads as `u`, to which conditions are added. */
export type UploadQuery = SelectQueryBuilder<Schema & { u: Schema['uploads'] }, 'u', SelectedUpload>

/** What ours write where the gem writes its files. No JSON: a Rails job that is handed our id raises, and destroys nothing. */
export const FILES_MARKER = 'activestorage-delayed'

/**
 * The uploads' table keeps its name, the files' table may not: an upload whose files are in another app's tables is that
 * app's.
 */
export const hasFiles: RawBuilder<boolean> = sql<boolean>`exists (select 1 from ${sql.table('files')} mine where mine.upload_token = u.token)`

/** Of this app: with files, or a row of the gem's that could not be read. For what looks at uploads of all records. */
export const isOwnUpload: RawBuilder<boolean> = sql<boolean>`(${hasFiles} or coalesce(u.files, '') <> ${sql.lit(FILES_MARKER)})`

/** Rows of these attachments; other apps may share the table. */
export function isKnownAttachment(
  known: readonly { readonly type: string; readonly name: string }[],
): RawBuilder<boolean> {
  const each = known.map(
    ({ type, name }) => sql`(u.uploadable_type = ${type} and u.attr_name = ${name})`,
  )
  return sql<boolean>`(${sql.join(each, sql` or `)})`
}

const PLAIN_UPLOAD_COLUMNS = [
  'token',
  'state',
  'clean_before',
  'replaces',
  'keeps',
  'attempts',
  'lease_token',
  'last_error',
] as const

/** Every column of uploads, as a query names the table. */
export function selectedUploadColumns(
  dialect: Dialect,
  table: 'u' | 'uploads',
): readonly AliasedRawBuilder<never, keyof SelectedUpload>[] {
  const column = (name: string): RawBuilder<never> => sql<never>`${sql.ref(`${table}.${name}`)}`
  const text = (name: string): RawBuilder<never> =>
    asText(dialect, `${table}.${name}`) as RawBuilder<never>
  return [
    ...PLAIN_UPLOAD_COLUMNS.map((name) => column(name).as(name)),
    column('uploadable_type').as('type'),
    text('uploadable_id').as('record'),
    column('attr_name').as('name'),
    text('id').as('row_id'),
    text('origin_id').as('origin_id'),
    text('run_at').as('run_at'),
    text('created_at').as('created_at'),
  ]
}

export function selectUploads(session: Session): UploadQuery {
  return session.db
    .selectFrom('uploads as u')
    .where('u.token', 'is not', null)
    .select(selectedUploadColumns(session.dialect, 'u'))
}

export function uploadOf(row: SelectedUpload): UploadRow {
  return {
    rowId: row.row_id,
    order: BigInt(row.origin_id ?? row.row_id),
    token: String(row.token),
    lane: { type: String(row.type), id: row.record, name: String(row.name) },
    state: row.state,
    cleanBefore: Boolean(Number(row.clean_before)),
    replaces: row.replaces === null ? null : (JSON.parse(row.replaces) as string[]),
    keeps: row.keeps === null ? KEEPS_NOTHING : (JSON.parse(row.keeps) as Keeps),
    attempts: Number(row.attempts),
    runAt: Number(row.run_at),
    leaseToken: row.lease_token,
    lastError: row.last_error,
    createdAt: parseRailsTime(row.created_at),
  }
}

export async function fetchUploads(query: UploadQuery): Promise<UploadRow[]> {
  return (await query.execute()).map(uploadOf)
}

export interface UploadWithFiles {
  readonly upload: UploadRow
  readonly files: readonly FileRow[]
}

/** Uploads with their files, oldest first, in one statement. */
export async function fetchUploadsWithFiles(
  session: Session,
  query: UploadQuery,
): Promise<UploadWithFiles[]> {
  const rows = await session.db
    .selectFrom(query.as('u'))
    .leftJoin('files as f', 'f.upload_token', 'u.token')
    .selectAll('u')
    .select(fileColumns(session.dialect))
    .orderBy('f.position')
    .orderBy('f.id')
    .execute()
  const byToken = new Map<string, { upload: UploadRow; files: FileRow[] }>()
  for (const row of rows) {
    const found = byToken.get(String(row.token)) ?? { upload: uploadOf(row), files: [] }
    // A row of the gem's that could not be read has none.
    if (row.file_id !== null) found.files.push(fileRowOf(row))
    byToken.set(found.upload.token, found)
  }
  return [...byToken.values()].toSorted((a, b) => compareOrder(a.upload.order, b.upload.order))
}

const compareOrder = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)

/** Finds an upload. null: there is none. */
export async function findUpload(
  session: Session,
  token: string,
  { lock = false }: ReadOptions = {},
): Promise<UploadRow | null> {
  const query = selectUploads(session).where('u.token', '=', token)
  const [row] = await fetchUploads(lock ? lockRows(query, session.dialect) : query)
  return row ?? null
}

/** Those that are there, in no order. */
export async function findUploadsByToken(
  session: Session,
  tokens: readonly string[],
): Promise<UploadRow[]> {
  return tokens.length === 0
    ? []
    : fetchUploads(selectUploads(session).where('u.token', 'in', tokens))
}

/** As a person names it: not one whose files are in another app's tables. */
export async function findOwnUpload(session: Session, token: string): Promise<UploadRow | null> {
  const [row] = await fetchUploads(
    selectUploads(session).where('u.token', '=', token).where(isOwnUpload),
  )
  return row ?? null
}

export function selectRecordUploads(
  session: Session,
  type: string,
  ids: readonly string[],
  name?: string,
): UploadQuery {
  const query = selectUploads(session)
    .where('u.uploadable_type', '=', type)
    .where(
      'u.uploadable_id',
      'in',
      ids.map((id) => bindId(id, session.recordId)),
    )
  return name === undefined ? query : query.where('u.attr_name', '=', name)
}

/** Finds the uploads of many records of one model, of all their attachments or one, oldest first. */
export async function findRecordUploads(
  session: Session,
  type: string,
  ids: readonly string[],
  { name, lock = false }: ReadOptions & { readonly name?: string | undefined } = {},
): Promise<UploadRow[]> {
  if (ids.length === 0) return []
  let query = selectRecordUploads(session, type, ids, name)
  if (lock) query = lockRows(query, session.dialect)
  const rows = await fetchUploads(query.orderBy('u.id'))
  return rows.toSorted((a, b) => compareOrder(a.order, b.order))
}

/** The row while its lease is ours, locked; null: it was taken over, discarded or superseded, and nothing may be written. */
export async function lockHeldUpload(
  session: Session,
  upload: UploadRow,
): Promise<UploadRow | null> {
  let query = selectUploads(session)
    .where('u.token', '=', upload.token)
    .where('u.id', '=', BigInt(upload.rowId))
    .where('u.lease_token', '=', upload.leaseToken)
  query = lockRows(query, session.dialect)
  const [row] = await fetchUploads(query)
  return row ?? null
}

/** The same as a condition of a statement that changes nothing but what is shown. */
export const isLeaseHeld = ({ token, leaseToken }: UploadRow): RawBuilder<boolean> =>
  sql<boolean>`exists (select 1 from ${sql.table('uploads')} held where held.token = ${token} and held.lease_token = ${leaseToken})`

/** `lease_until` of a pending upload that was due and is put off because its lane is busy. */
export const SNOOZED_LEASE = 1

const isWakeable: RawBuilder<boolean> = sql<boolean>`((attempts = 0 and unavailable_since = 0) or lease_until = ${sql.lit(SNOOZED_LEASE)})`

/**
 * What frees a lane wakes its oldest upload that is not waiting for its retry. A statement of its own after the commit: inside the
 * finishing transaction it would miss those that a claim snoozes at that moment.
 */
export async function wakeLane(session: Session, lane: Lane): Promise<void> {
  const head = await session.db
    .selectFrom('uploads as u')
    .select(asText(session.dialect, 'u.id').as('row_id'))
    .where('u.uploadable_type', '=', lane.type)
    .where('u.uploadable_id', '=', bindId(lane.id, session.recordId))
    .where('u.attr_name', '=', lane.name)
    .where('u.state', '=', 'pending')
    .where(isWakeable)
    .where('u.token', 'is not', null)
    .where(hasFiles)
    .orderBy(sql`coalesce(u.origin_id, u.id)`)
    .limit(1)
    .executeTakeFirst()
  if (head === undefined) return
  await session.db
    .updateTable('uploads')
    .set({ run_at: 0, enqueued_at: 0, lease_until: 0 })
    .where('id', '=', BigInt(head.row_id))
    .where('state', '=', 'pending')
    .where(isWakeable)
    .execute()
}
