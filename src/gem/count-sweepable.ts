import type { Session } from '../database/session.ts'
import { countSweepable, type SweepCounts } from '../delayed/sweep-conditions.ts'
import { countRowsToMove, type KnownAttachment } from './gem-rows.ts'

/** The settings of a storage that a sweep needs. */
export interface SweepSettings {
  /** All attachments that the storage defines. */
  readonly knownAttachments: readonly KnownAttachment[]
  /** Milliseconds; younger rows of the gem are left to a Rails job. */
  readonly gemMoveAfter: number
  /** Milliseconds; null: failed uploads are kept for ever. */
  readonly failedKeepFor: number | null
}

/** Counts what a sweep would do now, also to the rows of the Ruby gem. Changes nothing. */
export async function countSweepableAndGemRows(
  session: Session,
  { knownAttachments: known, gemMoveAfter, failedKeepFor }: SweepSettings,
): Promise<SweepCounts & { readonly gemRows: number }> {
  return {
    ...(await countSweepable(session, failedKeepFor)),
    gemRows: await countRowsToMove(session, known, gemMoveAfter),
  }
}
