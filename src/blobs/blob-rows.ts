import { sql, type AliasedRawBuilder } from 'kysely'
import { asText, railsAgo, toRailsId, railsNow } from '../database/expressions.ts'
import { createNotReadError } from '../database/errors.ts'
import type { Session } from '../database/session.ts'
import { toStorableJson } from './storable-text.ts'

/** A row of active_storage_blobs, ids as text. */
export interface BlobRow {
  readonly id: string
  readonly key: string
  readonly filename: string
  readonly contentType: string | null
  readonly metadata: string | null
  readonly serviceName: string
  readonly byteSize: number
  readonly checksum: string | null
  readonly createdAt: Date
}

export interface NewBlob {
  readonly key: string
  readonly filename: string
  readonly contentType: string
  readonly serviceName: string
  readonly byteSize: number
  readonly checksum: string
}

/** Rails' times are UTC text without a zone. */
export function parseRailsTime(text: string): Date {
  return new Date(`${text.replace(' ', 'T').replace(/(\.\d{3})\d*$/, '$1')}Z`)
}

const textColumns = [
  'key',
  'filename',
  'content_type',
  'metadata',
  'service_name',
  'checksum',
] as const

export function blobColumns(
  dialect: Session['dialect'],
  alias: string,
): readonly AliasedRawBuilder<string | null, keyof SelectedBlob>[] {
  return [
    asText(dialect, `${alias}.id`).as('blob_row_id'),
    ...textColumns.map((name) =>
      sql<string | null>`${sql.ref(`${alias}.${name}`)}`.as(`blob_${name}` as const),
    ),
    asText(dialect, `${alias}.byte_size`).as('blob_byte_size'),
    asText(dialect, `${alias}.created_at`).as('blob_created_at'),
  ]
}

export interface SelectedBlob {
  readonly blob_row_id: string
  readonly blob_key: string
  readonly blob_filename: string
  readonly blob_content_type: string | null
  readonly blob_metadata: string | null
  readonly blob_service_name: string
  readonly blob_byte_size: string
  readonly blob_checksum: string | null
  readonly blob_created_at: string
}

export function blobOf(row: SelectedBlob): BlobRow {
  return {
    id: row.blob_row_id,
    key: row.blob_key,
    filename: row.blob_filename,
    contentType: row.blob_content_type,
    metadata: row.blob_metadata,
    serviceName: row.blob_service_name,
    byteSize: Number(row.blob_byte_size),
    checksum: row.blob_checksum,
    createdAt: parseRailsTime(row.blob_created_at),
  }
}

/** Rails' flag of a type that was told from the bytes: without it Rails reads the object again. */
const IDENTIFIED = { identified: true }

export async function insertBlob(
  session: Session,
  blob: NewBlob,
  metadata: Readonly<Record<string, unknown>> = IDENTIFIED,
): Promise<BlobRow> {
  const insert = session.db.insertInto('blobs').values({
    key: blob.key,
    filename: blob.filename,
    content_type: blob.contentType,
    metadata: Object.keys(metadata).length === 0 ? null : await toStorableJson(session, metadata),
    service_name: blob.serviceName,
    byte_size: blob.byteSize,
    checksum: blob.checksum,
    created_at: railsNow(session.dialect),
  })
  if (session.returning)
    return blobOf(
      (await insert
        .returning(blobColumns(session.dialect, 'blobs'))
        .executeTakeFirstOrThrow()) as SelectedBlob,
    )
  await insert.execute()
  const row = await findBlob(session, { key: blob.key })
  if (row === null) throw createNotReadError(`The blob with key ${blob.key}`)
  return row
}

export async function findBlob(
  session: Session,
  by: { readonly id: string } | { readonly key: string },
  lock: boolean = false,
): Promise<BlobRow | null> {
  let query = session.db.selectFrom('blobs as b').select(blobColumns(session.dialect, 'b'))
  query =
    'id' in by ? query.where('b.id', '=', toRailsId(by.id)) : query.where('b.key', '=', by.key)
  if (lock && session.dialect !== 'sqlite') query = query.forUpdate()
  const row = (await query.executeTakeFirst()) as SelectedBlob | undefined
  // MySQL compares by casting: to it, a uuid is the number that it begins with.
  return row === undefined || ('id' in by && row.blob_row_id !== by.id) ? null : blobOf(row)
}

/** By their keys; those that are gone are left out. */
export async function findBlobs(session: Session, keys: readonly string[]): Promise<BlobRow[]> {
  if (keys.length === 0) return []
  const rows = await session.db
    .selectFrom('blobs as b')
    .select(blobColumns(session.dialect, 'b'))
    .where('b.key', 'in', keys)
    .execute()
  return rows.map((row) => blobOf(row as SelectedBlob))
}

/** A page of blobs that no attachment uses, by id. */
export async function findUnattachedBlobs(
  session: Session,
  page: { readonly after: string | null; readonly olderThan: number; readonly limit: number },
): Promise<BlobRow[]> {
  let query = session.db
    .selectFrom('blobs as b')
    .leftJoin('attachments as a', 'a.blob_id', 'b.id')
    .select(blobColumns(session.dialect, 'b'))
    .where('a.id', 'is', null)
    .where('b.created_at', '<=', railsAgo(session.dialect, page.olderThan))
    .orderBy('b.id')
    .limit(page.limit)
  if (page.after !== null) query = query.where('b.id', '>', toRailsId(page.after))
  const rows = await query.execute()
  return rows.map((row) => blobOf(row as SelectedBlob))
}

/**
 * Identifies the content type of a blob that a browser uploaded by itself, from its bytes. Metadata is text that Rails
 * and the app write too: it is merged under the row's lock, which the caller holds.
 */
export async function saveIdentifiedType(
  session: Session,
  blob: BlobRow,
  contentType: string | null,
): Promise<BlobRow> {
  const metadata = await toStorableJson(session, {
    ...parseMetadata(blob.metadata),
    identified: true,
  })
  await session.db
    .updateTable('blobs')
    .set({ content_type: contentType, metadata })
    .where('id', '=', toRailsId(blob.id))
    .execute()
  return { ...blob, contentType, metadata }
}

/** `{}` for what is no JSON object: Rails before 5.2 wrote none. */
export function parseMetadata(text: string | null): Record<string, unknown> {
  if (text === null || text === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {}
  } catch {
    return {}
  }
}

export async function blobKeyExists(session: Session, key: string): Promise<boolean> {
  return (
    (await session.db
      .selectFrom('blobs')
      .select('id')
      .where('key', '=', key)
      .executeTakeFirst()) !== undefined
  )
}
