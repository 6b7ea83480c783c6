import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Session } from '../database/session.ts'
import type { RecordIdType } from '../database/store.ts'
import { ConfigurationError, InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'

/**
 * One attachment of one record: the key by which changes are serialized and uploads are ordered.
 */
export interface Lane {
  /** The record's model: the value of `record_type`. */
  readonly type: string
  /** The record's id in its canonical form: see `canonicalizeId`. */
  readonly id: string
  /** The attachment's name, such as 'photo'. */
  readonly name: string
}

/** Returns the record and the attachment of a lane as the details of an error. */
export const describeLane = ({ type, id, name }: Lane): ErrorDetails => ({
  record: { type, id },
  attachment: name,
})

const LOCK_BUCKETS = 1024
const MAX_BIGINT = 2n ** 63n - 1n

/**
 * Returns the canonical form of a record's id: decimal without leading zeros, lower-case UUID, or
 * the text itself. Casts and trims nothing. Throws InvalidInputError.
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

/**
 * Converts a canonical id to its column's type, so that the database uses indexes and casts
 * nothing.
 */
export function bindId(id: string, kind: RecordIdType): string | bigint {
  return kind === 'bigint' ? BigInt(id) : id
}

function bucketOf({ type, id, name }: Lane): number {
  return (
    createHash('sha256').update(`${type}\0${id}\0${name}`).digest().readUInt32BE(0) % LOCK_BUCKETS
  )
}

class LockedLanes {
  readonly #isLocked = true
  get isLocked(): boolean {
    return this.#isLocked
  }
}

/** Proof that a transaction holds the locks of lanes; only `lockLanes` makes one. */
export type LaneLock = LockedLanes

/**
 * Locks lanes to the end of the transaction, in ascending order. Lock a lane before you read its
 * rows, and only once per call. On PostgreSQL the lock is an UPDATE: above read committed, a
 * transaction whose snapshot is older than the lane's last change then fails; an advisory lock
 * would let it act on stale rows.
 */
export async function lockLanes(session: Session, lanes: readonly Lane[]): Promise<LaneLock> {
  if (session.dialect === 'sqlite') {
    // A statement that changes nothing still takes the file's write lock.
    await session.db
      .deleteFrom('workers')
      .where(sql<boolean>`1 = 0`)
      .execute()
    return new LockedLanes()
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
  return new LockedLanes()
}
