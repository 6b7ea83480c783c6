import type { Session } from '../database/session.ts'
import { countSweepable, type Sweepable } from '../delayed/sweepable.ts'
import { countToMove, type Known } from './rows.ts'

export interface SweepSettings {
  readonly known: readonly Known[]
  /** Milliseconds. */
  readonly gemMoveAfter: number
  readonly failedKeepFor: number | null
}

/** What a sweep would do now, also to the rows of the Ruby gem. */
export async function countAll(
  session: Session,
  { known, gemMoveAfter, failedKeepFor }: SweepSettings,
): Promise<Sweepable & { readonly gemRows: number }> {
  return {
    ...(await countSweepable(session, failedKeepFor)),
    gemRows: await countToMove(session, known, gemMoveAfter),
  }
}
