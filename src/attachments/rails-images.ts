import type { Lane } from './lane.ts'
import { asText, toRailsId } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'

/** Rails' records of variants. Each has one attachment, `image`, the bytes of the variant. */
export const VARIANT_RECORD = 'ActiveStorage::VariantRecord'
/** Rails' name of a blob as a record. It has one attachment, `preview_image`. */
export const BLOB_RECORD = 'ActiveStorage::Blob'

/**
 * Finds the blob that an image of Rails' own was made from: a variant's image or a blob's preview.
 * Returns the blob's id. null: the attachment is of an app's record, or the variant is gone.
 */
export async function findOriginalOfImage(
  session: Session,
  { type, id }: Pick<Lane, 'type' | 'id'>,
): Promise<string | null> {
  if (type === BLOB_RECORD) return id
  if (type !== VARIANT_RECORD) return null
  const row = await session.db
    .selectFrom('variant_records')
    .select(asText(session.dialect, 'blob_id').as('blob'))
    .where('id', '=', toRailsId(id))
    .executeTakeFirst()
  return row?.blob ?? null
}
