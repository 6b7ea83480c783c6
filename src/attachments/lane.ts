import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Session } from '../database/session.ts'
import type { RecordIdType } from '../database/store.ts'
import { ConfigurationError, InvalidInputError } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'

/** One record and one of its attachments: what is locked, and what uploads queue in. */
export interface Lane {
  readonly type: string
  /** Canonical: see `canonicalId`. */
  readonly id: string
  readonly name: string
}

const LOCK_BUCKETS = 1024
const MAX_BIGINT = 2n ** 63n - 1n

/**
 * The one form of an id: decimal without zeros, lower-case uuid, or the text itself. Nothing is cast to an id, and nothing is
 * trimmed. Throws InvalidInputError.
 */
export function canonicalizeId(id: unknown, kind: RecordIdType, type: string): string {
  const details = {
    record: { type, id: typeof id === 'string' ? id.slice(0, 100) : formatValue(id) },
  }
  if (id === undefined || id === null || id === '')
    throw new InvalidInputError(
      `This ${type} has no id (${formatValue(id)}): nothing can be attached to it. Save it first, or pass its id.`,
      {
        details,
      },
    )
  const wrong = (expected: string): InvalidInputError =>
    new InvalidInputError(
      `${type} has the id ${formatValue(id)}, which is no ${expected}. Ids of this storage are ${kind}: set recordId if your records have others.`,
      { details },
    )
  if (typeof id !== 'string' && typeof id !== 'number' && typeof id !== 'bigint')
    throw wrong('number or text')
  const text = String(id)
  if (typeof id === 'number' && !Number.isSafeInteger(id))
    throw wrong('whole number below 2^53 (give a bigint or text)')
  if (kind === 'bigint') {
    if (!/^-?\d{1,19}$/.test(text)) throw wrong('integer')
    const value = BigInt(text)
    if (value > MAX_BIGINT || value < -MAX_BIGINT) throw wrong('64-bit integer')
    return String(value)
  }
  if (kind === 'uuid') {
    const lower = text.toLowerCase()
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(lower)) throw wrong('uuid')
    return lower
  }
  if (text.length > 255 || text.includes('\0'))
    throw wrong('text of 1 to 255 characters without NUL')
  return text
}

/** Ids go into bigint columns as bigints and into text columns as text, so that indexes are used and nothing is cast. */
export function bindId(id: string, kind: RecordIdType): string | bigint {
  return kind === 'bigint' ? BigInt(id) : id
}

function bucketOf({ type, id, name }: Lane): number {
  return (
    createHash('sha256').update(`${type}\0${id}\0${name}`).digest().readUInt32BE(0) % LOCK_BUCKETS
  )
}

/**
 * Held to the end of the transaction, taken before anything of the lane is read, in ascending order. On PostgreSQL it
 * is an UPDATE, so that a transaction above read committed whose snapshot is older than the lane's last change fails
 * instead of acting on what is no longer true; an advisory lock would let it pass.
 */
export async function lockLanes(session: Session, lanes: readonly Lane[]): Promise<void> {
  if (session.dialect === 'sqlite') {
    // A statement that changes nothing still takes the file's write lock.
    await session.db
      .deleteFrom('workers')
      .where(sql<boolean>`1 = 0`)
      .execute()
    return
  }
  const buckets = [...new Set(lanes.map(bucketOf))].toSorted((a, b) => a - b)
  for (const bucket of buckets) {
    const locked =
      session.dialect === 'postgres'
        ? Number(
            (
              await session.db
                .updateTable('locks')
                .set({ version: sql`version + 1` })
                .where('bucket', '=', bucket)
                .executeTakeFirst()
            ).numUpdatedRows,
          )
        : (
            await session.db
              .selectFrom('locks')
              .select('bucket')
              .where('bucket', '=', bucket)
              .forUpdate()
              .execute()
          ).length
    if (locked === 0)
      throw new ConfigurationError(
        'The table of locks has lost its rows (was it truncated, or restored without data?): nothing can be attached safely. Drop that table, then run storage.migrate().',
      )
  }
}
