import { sql } from 'kysely'
import { deleteLockedAttachments, type LaneAttachment } from './attachment-rows.ts'
import { PURGE_JOB } from './purge-later.ts'
import { BLOB_RECORD, VARIANT_RECORD } from './rails-images.ts'
import { findBlob } from '../blobs/blob-rows.ts'
import { deleteObjectLater } from '../blobs/object-intents.ts'
import { asText, toRailsId } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { isUuid } from '../database/uuid.ts'
import type { JobDefinition } from '../jobs/job-source.ts'

/**
 * Removes the blob's row unless something still uses it, and hands its object to `delete-object` in
 * the same transaction: with the object deleted first, a concurrent attach would lose its bytes;
 * without the job, a crash would leave an object that no row names. Runs inside a transaction.
 * Returns the keys of the jobs that delete the objects.
 */
export async function purgeBlob(session: Session, blobId: string): Promise<string[]> {
  const blob = await findBlob(session, { id: blobId }, { lock: true })
  if (blob === null) return []
  const used = await session.db
    .selectFrom('attachments')
    .select('id')
    .where('blob_id', '=', toRailsId(blobId))
    .executeTakeFirst()
  if (used !== undefined) return []
  const variants = await session.db
    .selectFrom('variant_records')
    .select(asText(session.dialect, 'id').as('variant_id'))
    .where('blob_id', '=', toRailsId(blobId))
    .execute()
  const keys: string[] = []
  for (const variant of variants) keys.push(...(await purgeVariant(session, variant.variant_id)))
  keys.push(...(await purgeImages(session, BLOB_RECORD, blobId)))
  await session.db.deleteFrom('blobs').where('id', '=', toRailsId(blobId)).execute()
  return [...keys, await deleteObjectLater(session, blob.serviceName, blob.key)]
}

/**
 * The job that purges a blob. It wakes workers afterwards, for the objects that are to be deleted
 * now.
 */
export const purgeJob: JobDefinition<{ readonly store: Store; readonly wake: () => void }> = {
  name: PURGE_JOB,
  async run({ store, wake }, job) {
    await store.transact((session) => purgeBlob(session, job.arguments['blob'] ?? ''))
    wake()
    return null
  },
}

/**
 * The ways to remove attachments: 'detach' keeps the blobs, 'purge' removes them too, 'purgeLater'
 * does so by a job.
 */
export type Removal = 'detach' | 'purge' | 'purgeLater'

/**
 * Removes attachments whose rows are locked, and returns the keys of the jobs that delete the
 * objects. In a user's transaction a job purges the blobs: an older snapshot does not show whether
 * something else uses them.
 */
export async function removeAttachments(
  session: Session,
  rows: readonly LaneAttachment[],
  how: Removal,
  { inUserTransaction }: { readonly inUserTransaction: boolean },
): Promise<string[]> {
  const byJob = how === 'purgeLater' || (how === 'purge' && inUserTransaction)
  await deleteLockedAttachments(session, rows, { purge: byJob })
  const keys: string[] = []
  if (how === 'purge' && !byJob)
    for (const { blobId } of rows) keys.push(...(await purgeBlob(session, blobId)))
  return keys
}

/** Purges a variant: a record of Rails' own whose image is an attachment. */
async function purgeVariant(session: Session, variantId: string): Promise<string[]> {
  const keys = await purgeImages(session, VARIANT_RECORD, variantId)
  await session.db.deleteFrom('variant_records').where('id', '=', toRailsId(variantId)).execute()
  return keys
}

/**
 * Purges images that Rails attached to its own records: a variant's image, a blob's preview. Ids of
 * these records may have another type than those of the app: a text column holds integers too, but
 * a column of UUIDs holds no integer, and a column of integers no UUID.
 */
async function purgeImages(session: Session, type: string, id: string): Promise<string[]> {
  const { dialect, recordId } = session
  if (recordId === 'bigint' && isUuid(id)) return []
  const asUuids = dialect === 'postgres' && recordId === 'uuid' && !isUuid(id)
  const images = await session.db
    .selectFrom('attachments')
    .select([asText(dialect, 'id').as('attachment_id'), asText(dialect, 'blob_id').as('blob')])
    .where('record_type', '=', type)
    // PostgreSQL refuses to compare a UUID with an integer's text, so the UUID is compared as text.
    .where(
      asUuids ? sql<string>`record_id::text` : 'record_id',
      '=',
      recordId === 'bigint' ? BigInt(id) : id,
    )
    .execute()
  const keys: string[] = []
  for (const image of images) {
    await session.db
      .deleteFrom('attachments')
      .where('id', '=', toRailsId(image.attachment_id))
      .execute()
    keys.push(...(await purgeBlob(session, image.blob)))
  }
  return keys
}
