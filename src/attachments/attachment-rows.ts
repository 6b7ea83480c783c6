import { blobColumns, blobOf, type BlobRow, type SelectedBlob } from '../blobs/blob-rows.ts'
import { lockRows } from '../database/row-locks.ts'
import { asText, parseRailsTime, toRailsId, railsNow } from '../database/expressions.ts'
import { createNotReadError } from '../database/errors.ts'
import type { Session } from '../database/session.ts'
import { purgeBlobLater } from './purge-later.ts'
import { bindId, type Lane } from './lane.ts'

/** A row of active_storage_attachments with the row of its blob. Ids are text. */
export interface AttachmentRow extends Lane {
  readonly attachmentId: string
  readonly createdAt: Date
  readonly blob: BlobRow
}

interface SelectedAttachment extends SelectedBlob {
  readonly attachment_id: string
  readonly attachment_name: string
  readonly attachment_type: string
  readonly attachment_record: string
  readonly attachment_created_at: string
}

function selectAttachments(session: Session) {
  return session.db
    .selectFrom('attachments as a')
    .innerJoin('blobs as b', 'b.id', 'a.blob_id')
    .select([
      asText(session.dialect, 'a.id').as('attachment_id'),
      'a.name as attachment_name',
      'a.record_type as attachment_type',
      asText(session.dialect, 'a.record_id').as('attachment_record'),
      asText(session.dialect, 'a.created_at').as('attachment_created_at'),
    ])
    .select(blobColumns(session.dialect, 'b'))
}

const toAttachmentRow = (row: SelectedAttachment): AttachmentRow => ({
  attachmentId: row.attachment_id,
  type: row.attachment_type,
  id: row.attachment_record,
  name: row.attachment_name,
  createdAt: parseRailsTime(row.attachment_created_at),
  blob: blobOf(row),
})

/** Finds the attachments of many records of one model, oldest first, in one statement. */
export async function findAttachments(
  session: Session,
  type: string,
  ids: readonly string[],
  name?: string,
): Promise<AttachmentRow[]> {
  if (ids.length === 0) return []
  let query = selectAttachments(session)
    .where('a.record_type', '=', type)
    .where(
      'a.record_id',
      'in',
      ids.map((id) => bindId(id, session.recordId)),
    )
  if (name !== undefined) query = query.where('a.name', '=', name)
  // The time comes first, because UUIDs have no order.
  const rows = await query.orderBy('a.created_at').orderBy('a.id').execute()
  return (rows as SelectedAttachment[]).map(toAttachmentRow)
}

/** Finds all attachments of a blob. */
export async function findAttachmentsOfBlob(
  session: Session,
  blobId: string,
): Promise<AttachmentRow[]> {
  const rows = await selectAttachments(session)
    .where('a.blob_id', '=', toRailsId(blobId))
    .orderBy('a.id')
    .execute()
  return (rows as SelectedAttachment[]).map(toAttachmentRow)
}

/** An attachment of a lane and its blob. */
export interface LaneAttachment {
  readonly attachmentId: string
  readonly blobId: string
}

/**
 * Locks and returns the attachments of a locked lane, oldest first. It must be a locking read: on
 * MySQL a plain one would read a snapshot that is older than the lane's lock.
 */
export async function lockAttachments(session: Session, lane: Lane): Promise<LaneAttachment[]> {
  let query = session.db
    .selectFrom('attachments as a')
    .select([
      asText(session.dialect, 'a.id').as('attachment_id'),
      asText(session.dialect, 'a.blob_id').as('blob'),
    ])
    .where('a.record_type', '=', lane.type)
    .where('a.record_id', '=', bindId(lane.id, session.recordId))
    .where('a.name', '=', lane.name)
    .orderBy('a.created_at')
    .orderBy('a.id')
  query = lockRows(query, session.dialect)
  return (await query.execute()).map((row) => ({
    attachmentId: row.attachment_id,
    blobId: row.blob,
  }))
}

/** Locks the attachments of a locked lane as `lockAttachments` does, and returns their ids. */
export async function lockAttachmentIds(session: Session, lane: Lane): Promise<string[]> {
  return (await lockAttachments(session, lane)).map(({ attachmentId }) => attachmentId)
}

/** Locks the attachments of a locked lane whose blobs have one of the keys. Returns their ids. */
export async function lockAttachmentsOfKeys(
  session: Session,
  lane: Lane,
  keys: readonly string[],
): Promise<string[]> {
  if (keys.length === 0) return []
  const query = selectAttachments(session)
    .where('a.record_type', '=', lane.type)
    .where('a.record_id', '=', bindId(lane.id, session.recordId))
    .where('a.name', '=', lane.name)
    .where('b.key', 'in', keys)
  return (await lockRows(query, session.dialect).execute()).map((row) => row.attachment_id)
}

/** Locks the attachment of a blob in a locked lane. null: it has none there. */
export async function findAttachment(
  session: Session,
  lane: Lane,
  blobId: string,
): Promise<AttachmentRow | null> {
  const query = selectAttachments(session)
    .where('a.record_type', '=', lane.type)
    .where('a.record_id', '=', bindId(lane.id, session.recordId))
    .where('a.name', '=', lane.name)
    .where('a.blob_id', '=', toRailsId(blobId))
  const row = await lockRows(query, session.dialect).executeTakeFirst()
  return row === undefined ? null : toAttachmentRow(row as SelectedAttachment)
}

/** Attaches a blob that is not attached in the locked lane yet. */
export async function insertAttachment(
  session: Session,
  lane: Lane,
  blob: BlobRow,
): Promise<AttachmentRow> {
  const { dialect } = session
  const insert = session.db.insertInto('attachments').values({
    name: lane.name,
    record_type: lane.type,
    record_id: bindId(lane.id, session.recordId),
    blob_id: toRailsId(blob.id),
    created_at: railsNow(dialect),
  })
  if (session.returning) {
    const { id, created } = await insert
      .returning([asText(dialect, 'id').as('id'), asText(dialect, 'created_at').as('created')])
      .executeTakeFirstOrThrow()
    return { ...lane, attachmentId: id, createdAt: parseRailsTime(created), blob }
  }
  await insert.execute()
  const row = await findAttachment(session, lane, blob.id)
  if (row === null) throw createNotReadError(`The attachment of the blob ${blob.id}`)
  return row
}

/** `purge: true` also writes a job for each blob that purges it after the commit. */
export interface DeleteAttachmentsOptions {
  readonly purge: boolean
}

/** Deletes those of the ids that are attachments of the lane, and returns them. */
export async function deleteAttachments(
  session: Session,
  lane: Lane,
  ids: readonly string[],
  options: DeleteAttachmentsOptions,
): Promise<LaneAttachment[]> {
  if (ids.length === 0) return []
  const wanted = new Set(ids)
  const rows = (await lockAttachments(session, lane)).filter((row) => wanted.has(row.attachmentId))
  await deleteLockedAttachments(session, rows, options)
  return rows
}

/** Deletes attachments whose rows this transaction has locked. */
export async function deleteLockedAttachments(
  session: Session,
  rows: readonly LaneAttachment[],
  { purge }: DeleteAttachmentsOptions,
): Promise<void> {
  if (rows.length === 0) return
  await session.db
    .deleteFrom('attachments')
    .where(
      'id',
      'in',
      rows.map((row) => toRailsId(row.attachmentId)),
    )
    .execute()
  if (purge) for (const row of rows) await purgeBlobLater(session, row.blobId)
}

/** Locks all attachments of a record, also those of names that are no longer defined. */
export async function lockRecordAttachments(
  session: Session,
  type: string,
  id: string,
): Promise<(LaneAttachment & { readonly name: string })[]> {
  const { dialect } = session
  const query = session.db
    .selectFrom('attachments')
    .select(['name', asText(dialect, 'id').as('row_id'), asText(dialect, 'blob_id').as('blob')])
    .where('record_type', '=', type)
    .where('record_id', '=', bindId(id, session.recordId))
    .orderBy('created_at')
    .orderBy('id')
  const rows = await lockRows(query, dialect).execute()
  return rows.map((row) => ({ name: row.name, attachmentId: row.row_id, blobId: row.blob }))
}
