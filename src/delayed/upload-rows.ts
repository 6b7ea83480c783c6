import { sql, type AliasedRawBuilder, type RawBuilder, type SelectQueryBuilder } from 'kysely'
import { bindId, type Lane } from '../attachments/lane.ts'
import { lockRows, type ReadOptions } from '../database/row-locks.ts'
import { asText, parseRailsTime } from '../database/expressions.ts'
import type { Dialect } from '../database/database.ts'
import type { Schema, UploadState } from '../database/schema.ts'
import type { Session } from '../database/session.ts'
import { fileColumns, toFileRow, type FileRow } from '../staging/file-rows.ts'
import { KEEPS_NOTHING, type Keeps } from './keeps.ts'

/** A row of the uploads table that has a token: rows of the gem have none. */
export interface UploadRow {
  /** The primary key. It changes with `retry`. */
  readonly rowId: string
  /** The place in the lane. */
  readonly order: bigint
  /** The identity. It stays for life. */
  readonly token: string
  readonly lane: Lane
  readonly state: UploadState
  readonly cleanBefore: boolean
  /** Ids of the attachments that the upload replaces; null: it appends. */
  readonly replaces: readonly string[] | null
  /** Files that its submission named beside its own. */
  readonly keeps: Keeps
  readonly attempts: number
  /** When it is due, in milliseconds of the database's clock. */
  readonly runAt: number
  readonly leaseToken: string | null
  readonly lastError: string | null
  readonly createdAt: Date
}

/** An upload as queries return it. */
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

/** A query of uploads under the name `u`. Callers add conditions. */
export type UploadQuery = SelectQueryBuilder<Schema & { u: Schema['uploads'] }, 'u', SelectedUpload>

/**
 * The value of the column in which the gem stores its files. It is no JSON, so that a Rails job
 * that gets the id of our row raises, and destroys nothing.
 */
export const FILES_MARKER = 'activestorage-delayed'

/**
 * The condition that an upload `u` has files. Apps may share the uploads table while each has its
 * own files table: then an upload is of the app whose table has its files.
 */
export const hasFiles: RawBuilder<boolean> = sql<boolean>`exists (select 1 from ${sql.table('files')} mine where mine.upload_token = u.token)`

/**
 * The condition that an upload `u` is of this app: it has files, or is a row of the gem that could
 * not be read. For queries over all records.
 */
export const isOwnUpload: RawBuilder<boolean> = sql<boolean>`(${hasFiles} or coalesce(u.files, '') <> ${sql.lit(FILES_MARKER)})`

/**
 * The condition that an upload `u` is of one of the attachments. Other apps may share the table.
 */
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

/** Selects every column of an upload. `table`: the name of the table in the query. */
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

/** Starts a query of uploads with all their columns. */
export function selectUploads(session: Session): UploadQuery {
  return session.db
    .selectFrom('uploads as u')
    .where('u.token', 'is not', null)
    .select(selectedUploadColumns(session.dialect, 'u'))
}

/** Converts a row of a query. */
export function toUploadRow(row: SelectedUpload): UploadRow {
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

/** Runs a query of uploads. */
export async function fetchUploads(query: UploadQuery): Promise<UploadRow[]> {
  return (await query.execute()).map(toUploadRow)
}

/** An upload and its files, by position. */
export interface UploadWithFiles {
  readonly upload: UploadRow
  readonly files: readonly FileRow[]
}

/** Runs a query of uploads and reads their files with them, in one statement. Oldest first. */
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
    const found = byToken.get(String(row.token)) ?? { upload: toUploadRow(row), files: [] }
    // A row of the gem that could not be read has no files.
    if (row.file_id !== null) found.files.push(toFileRow(row))
    byToken.set(found.upload.token, found)
  }
  return [...byToken.values()].toSorted((a, b) => compareOrder(a.upload.order, b.upload.order))
}

const compareOrder = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Finds an upload. null: there is none. `lock` also reads it as it is now, not as a snapshot has
 * it.
 */
export async function findUpload(
  session: Session,
  token: string,
  { lock = false }: ReadOptions = {},
): Promise<UploadRow | null> {
  const query = selectUploads(session).where('u.token', '=', token)
  const [row] = await fetchUploads(lock ? lockRows(query, session.dialect) : query)
  return row ?? null
}

/** Finds uploads by their tokens, in no order. Leaves out those that are gone. */
export async function findUploadsByToken(
  session: Session,
  tokens: readonly string[],
): Promise<UploadRow[]> {
  return tokens.length === 0
    ? []
    : fetchUploads(selectUploads(session).where('u.token', 'in', tokens))
}

/** Finds an upload of this app. null: it is gone, or another app has it. */
export async function findOwnUpload(session: Session, token: string): Promise<UploadRow | null> {
  const [row] = await fetchUploads(
    selectUploads(session).where('u.token', '=', token).where(isOwnUpload),
  )
  return row ?? null
}

/** Starts a query of the uploads of many records of one model. `name`: of one attachment. */
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

/** Finds the uploads of many records of one model, oldest first. `name`: of one attachment. */
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

/** Locks the uploads of a lane that is locked, oldest first. */
export function lockLaneUploads(session: Session, { type, id, name }: Lane): Promise<UploadRow[]> {
  return findRecordUploads(session, type, [id], { name, lock: true })
}

/**
 * The fence: locks an upload whose lease is still ours. null: it was taken over, discarded or
 * superseded, and nothing may be written.
 */
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

/**
 * The fence as a condition, for statements that only change what is shown: they need no row lock.
 */
export const isLeaseHeld = ({ token, leaseToken }: UploadRow): RawBuilder<boolean> =>
  sql<boolean>`exists (select 1 from ${sql.table('uploads')} held where held.token = ${token} and held.lease_token = ${leaseToken})`
