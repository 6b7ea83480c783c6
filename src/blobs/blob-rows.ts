import { sql, type AliasedRawBuilder } from 'kysely'
import { lockRows } from '../database/row-locks.ts'
import { asText, parseRailsTime, railsAgo, toRailsId, railsNow } from '../database/expressions.ts'
import { createNotReadError } from '../database/errors.ts'
import type { Session } from '../database/session.ts'
import { toStorableJson } from './storable-text.ts'

/** A row of active_storage_blobs, with its id as text. */
export interface BlobRow {
  readonly id: string
  readonly key: string
  readonly filename: string
  readonly contentType: string | null
  /** JSON text: see `parseMetadata`. */
  readonly metadata: string | null
  readonly serviceName: string
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string | null
  readonly createdAt: Date
}

/** A blob to insert. */
export interface NewBlob {
  readonly key: string
  readonly filename: string
  readonly contentType: string
  readonly serviceName: string
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
}

/** A blob's columns as `blobColumns` selects them. */
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

type NullableName = 'content_type' | 'metadata' | 'checksum'
type TextName = 'key' | 'filename' | 'service_name' | NullableName
type BlobColumn =
  | AliasedRawBuilder<string | null, `blob_${NullableName}`>
  | AliasedRawBuilder<string, Exclude<keyof SelectedBlob, `blob_${NullableName}`>>

/**
 * Selects a blob, under names that no other table of a join has. `alias` is the table's in the
 * query.
 */
export function blobColumns(dialect: Session['dialect'], alias: string): readonly BlobColumn[] {
  const text = <Name extends TextName>(name: Name) =>
    sql<Name extends NullableName ? string | null : string>`${sql.ref(`${alias}.${name}`)}`.as(
      `blob_${name}` as const,
    )
  return [
    asText(dialect, `${alias}.id`).as('blob_row_id'),
    text('key'),
    text('filename'),
    text('content_type'),
    text('metadata'),
    text('service_name'),
    text('checksum'),
    asText(dialect, `${alias}.byte_size`).as('blob_byte_size'),
    asText(dialect, `${alias}.created_at`).as('blob_created_at'),
  ]
}

/** Converts a selected blob. */
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

/**
 * Rails' flag of a content type that was identified from the bytes. Without it Rails reads the
 * object again.
 */
const IDENTIFIED = { identified: true }

/**
 * Inserts a blob and returns its row. Throws ConfigurationError if a proxy reads from a replica
 * that lacks the row.
 */
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
      await insert.returning(blobColumns(session.dialect, 'blobs')).executeTakeFirstOrThrow(),
    )
  await insert.execute()
  const row = await findBlob(session, { key: blob.key })
  if (row === null) throw createNotReadError(`The blob with key ${blob.key}`)
  return row
}

/**
 * Finds a blob. `lock: true` locks its row until the end of the transaction. null: there is none.
 */
export async function findBlob(
  session: Session,
  by: { readonly id: string } | { readonly key: string },
  { lock = false }: { readonly lock?: boolean } = {},
): Promise<BlobRow | null> {
  let query = session.db.selectFrom('blobs as b').select(blobColumns(session.dialect, 'b'))
  query =
    'id' in by ? query.where('b.id', '=', toRailsId(by.id)) : query.where('b.key', '=', by.key)
  if (lock) query = lockRows(query, session.dialect)
  const row = await query.executeTakeFirst()
  // MySQL casts what it compares: a uuid becomes the number that it begins with.
  return row === undefined || ('id' in by && row.blob_row_id !== by.id) ? null : blobOf(row)
}

/** Finds blobs by their keys, in no order. Missing ones are skipped. */
export async function findBlobs(session: Session, keys: readonly string[]): Promise<BlobRow[]> {
  if (keys.length === 0) return []
  const rows = await session.db
    .selectFrom('blobs as b')
    .select(blobColumns(session.dialect, 'b'))
    .where('b.key', 'in', keys)
    .execute()
  return rows.map(blobOf)
}

/**
 * Finds a page of blobs that no attachment uses and that are older than `olderThan` milliseconds,
 * by id after `after`.
 */
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
  return rows.map(blobOf)
}

/**
 * Saves the content type that the bytes of a blob showed, after a browser uploaded it by itself.
 * Returns the new row. Rails and the app write the same metadata, so the caller must hold the row's
 * lock.
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

/**
 * Parses the metadata. Returns `{}` for text that is no JSON object: Rails before 5.2 wrote none.
 */
export function parseMetadata(text: string | null): Record<string, unknown> {
  if (text === null || text === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
  } catch {
    return {}
  }
}

/** Returns true when a blob has the key. */
export async function blobKeyExists(session: Session, key: string): Promise<boolean> {
  return (
    (await session.db
      .selectFrom('blobs')
      .select('id')
      .where('key', '=', key)
      .executeTakeFirst()) !== undefined
  )
}
