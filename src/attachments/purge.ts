import { sql } from 'kysely'
import { findBlob } from '../blobs/blob-rows.ts'
import { railsId } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { deleteObjectLater } from '../jobs/job-rows.ts'

/**
 * Removes the blob's row unless something still uses it, and hands its object to `delete-object` in the same
 * transaction: object before row would take the bytes from under a concurrent attach, row before object without a job
 * would leave an orphan. Runs inside a transaction.
 */
export async function purgeBlob(session: Session, blobId: string): Promise<boolean> {
  const blob = await findBlob(session, { id: blobId }, true)
  if (blob === null) return false
  const used = await session.db.selectFrom('attachments').select('id').where('blob_id', '=', railsId(blobId)).executeTakeFirst()
  if (used !== undefined) return false
  const variants = await sql<{ id: unknown }>`
    select id from ${sql.table('variant_records')} where blob_id = ${railsId(blobId)}`.execute(session.db)
  for (const { id } of variants.rows) await purgeVariant(session, String(id))
  await session.db.deleteFrom('blobs').where('id', '=', railsId(blobId)).execute()
  await deleteObjectLater(session, blob.serviceName, blob.key)
  return true
}

/** A variant is a record of Rails' own whose image is an attachment. */
async function purgeVariant(session: Session, variantId: string): Promise<void> {
  const images = await session.db
    .selectFrom('attachments')
    .select(['id', 'blob_id'])
    .where('record_type', '=', 'ActiveStorage::VariantRecord')
    .where('record_id', '=', railsId(variantId))
    .execute()
  for (const image of images) {
    await session.db.deleteFrom('attachments').where('id', '=', image.id).execute()
    await purgeBlob(session, String(image.blob_id))
  }
  await session.db.deleteFrom('variant_records').where('id', '=', railsId(variantId)).execute()
}
