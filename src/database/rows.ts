import type { Row } from './executor.ts'

/**
 * Converts a driver's row: bigints to numbers where they are exact, bytes to a Buffer on the same
 * memory.
 */
export function normalizeRow(row: Readonly<Record<string, unknown>>): Row {
  const result: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(row)) result[name] = normalizeValue(value)
  return result
}

function normalizeValue(value: unknown): unknown {
  if (typeof value === 'bigint')
    return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER
      ? Number(value)
      : value
  return value instanceof Uint8Array && !Buffer.isBuffer(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value
}
