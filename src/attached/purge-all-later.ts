import { sql } from 'kysely'
import { deleteLockedAttachments, lockRecordAttachments } from '../attachments/attachment-rows.ts'
import { bindId, lockLanes, type LaneLock } from '../attachments/lane.ts'
import { asText } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { discardUploads } from '../delayed/discard.ts'
import { findRecordUploads } from '../delayed/upload-rows.ts'
import { deleteGemRows } from '../gem/gem-rows.ts'
import type { RecordScope } from './record.ts'
import { runChange } from './scope.ts'

/** Options of `purgeAllLater`. */
export interface PurgeAllOptions {
  /**
   * Called after the lanes are locked, so that nothing can be submitted meanwhile. true: nothing is
   * purged.
   */
  keepIf?(session: Session): Promise<boolean>
}

/**
 * Purges all attachments of a record by jobs, also those whose names are no longer defined, and
 * discards its uploads. Returns false if `keepIf` kept them.
 */
export async function purgeAllLater(
  scope: RecordScope,
  { keepIf }: PurgeAllOptions = {},
): Promise<boolean> {
  const { type, id, definitions } = scope
  return runChange(scope, async ({ session }) => {
    const { lock, names, hasGemRows } = await lockNames(session, type, id, [...definitions.keys()])
    if ((await keepIf?.(session)) === true) return false
    const isLocked = ({ name }: { readonly name: string }): boolean => names.has(name)
    const uploads = await findRecordUploads(session, type, [id], { lock: true })
    await discardUploads(
      session,
      uploads.filter(({ lane }) => isLocked(lane)),
      lock,
      'discarded',
    )
    if (hasGemRows) await deleteGemRows(session, { type, id })
    const attachments = await lockRecordAttachments(session, type, id)
    await deleteLockedAttachments(session, attachments.filter(isLocked), { purge: true })
    return true
  })
}

/** The lanes of a record that are locked. */
interface LockedNames {
  readonly lock: LaneLock
  readonly names: ReadonlySet<string>
  /** The record has rows of the gem that nobody has moved yet. */
  readonly hasGemRows: boolean
}

/**
 * Locks the lanes of the names that are defined and of those that have rows. The rows are read
 * before the lock, because lanes are locked in one order, and without locks, because rows are locked
 * after lanes. A name that gets its first row after that, or after the snapshot of a user's
 * transaction, is not locked, and counts as submitted after the purge.
 */
async function lockNames(
  session: Session,
  type: string,
  id: string,
  defined: readonly string[],
): Promise<LockedNames> {
  // SQLite has one lock for all lanes. A read before it would fail the transaction if another one
  // writes between the two.
  const early = session.dialect === 'sqlite' ? await lockLanes(session, []) : null
  const rows = await findNames(session, type, id)
  const names = new Set([...defined, ...rows.map(({ name }) => name)])
  const lock =
    early ??
    (await lockLanes(
      session,
      [...names].map((name) => ({ type, id, name })),
    ))
  return { lock, names, hasGemRows: rows.some(({ isGem }) => isGem) }
}

/** Finds the attachment names of a record that have rows. `isGem`: as a row of the gem has it. */
async function findNames(
  session: Session,
  type: string,
  id: string,
): Promise<{ readonly name: string; readonly isGem: boolean }[]> {
  const { db, dialect } = session
  const recordId = bindId(id, session.recordId)
  // As text, because the two columns may have different collations.
  const rows = await db
    .selectFrom('attachments')
    .select([asText(dialect, 'name').as('name'), sql<number>`0`.as('is_gem')])
    .where('record_type', '=', type)
    .where('record_id', '=', recordId)
    .unionAll(
      db
        .selectFrom('uploads')
        .select([
          asText(dialect, 'attr_name').as('name'),
          sql<number>`case when token is null then 1 else 0 end`.as('is_gem'),
        ])
        .where('uploadable_type', '=', type)
        .where('uploadable_id', '=', recordId),
    )
    .execute()
  return rows.map(({ name, is_gem: isGem }) => ({ name, isGem: Number(isGem) === 1 }))
}
