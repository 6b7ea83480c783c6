/** The id of a record, as an ORM has it: one column, a number or text. */
export type RecordId = bigint | number | string

/**
 * Converts a value to the id of a record. null: it is none, such as the id before the first save,
 * or a key of several columns.
 */
export const toRecordId = (value: unknown): RecordId | null =>
  typeof value === 'bigint' || typeof value === 'number' || typeof value === 'string' ? value : null
