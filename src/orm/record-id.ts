/** What records are told apart by. */
export type RecordId = bigint | number | string

/** null: it tells no record, such as what a record has before it is saved, or a key of several columns. */
export const toRecordId = (value: unknown): RecordId | null =>
  typeof value === 'bigint' || typeof value === 'number' || typeof value === 'string' ? value : null
