import type { Session } from '../database/session.ts'
import { countSweepable, type SweepCounts } from '../delayed/sweep-conditions.ts'
import { countRowsToMove, type KnownAttachment } from './gem-rows.ts'

export interface SweepSettings {
  readonly knownAttachments: readonly KnownAttachment[]
  /** Milliseconds. */
  readonly gemMoveAfter: number
  readonly failedKeepFor: number | null
}

/** What a sweep would do now, also to the rows of the Ruby gem. */
export async function countSweepableAndGemRows(
  session: Session,
  { knownAttachments: known, gemMoveAfter, failedKeepFor }: SweepSettings,
): Promise<SweepCounts & { readonly gemRows: number }> {
  return {
    ...(await countSweepable(session, failedKeepFor)),
    gemRows: await countRowsToMove(session, known, gemMoveAfter),
  }
}
