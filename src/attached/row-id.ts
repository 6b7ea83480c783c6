import { isUuid } from '../database/uuid.ts'

/**
 * Reads the id of an attachment or a blob: decimal without leading zeros, or a lower-case UUID.
 * Nothing is cast or trimmed. null: the value is no id.
 */
export function readRowId(value: unknown): string | null {
  const text =
    typeof value === 'string' || typeof value === 'bigint' || Number.isSafeInteger(value)
      ? String(value).toLowerCase()
      : ''
  if (/^\d{1,19}$/.test(text)) return String(BigInt(text))
  return isUuid(text) ? text : null
}

/** Returns whether an id is a number above the range of Rails' bigint columns. */
export const isTooLargeId = (id: string): boolean => !isUuid(id) && BigInt(id) >= 2n ** 63n
