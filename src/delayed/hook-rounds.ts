import { uuidv7 } from '../database/uuid.ts'
import type { UploadRow } from './upload-rows.ts'

type HookedRow = Pick<UploadRow, 'state' | 'attempts' | 'leaseToken'>

/** Number of rounds of hooks. After them the files are done, whether or not their hooks returned. */
export const MAX_HOOK_ROUNDS: number = 3

const BASE_DELAY_MS = 5_000

/**
 * The number of the round that a claim begins, from 1. It counts claims, not returns: so the rounds
 * of a hook that ends its process are counted too. The `attempts` of an attached upload count them.
 * A failed upload keeps its attempts for people to see; the end of its lease token, `:n`, counts.
 */
export function readHookRound({ state, attempts, leaseToken }: HookedRow): number {
  if (state === 'attached') return attempts + 1
  return Number(/:(\d+)$/.exec(leaseToken ?? '')?.[1] ?? 1)
}

/** Creates the lease token of the round after the one in `upload`. */
export function createHookLease(upload: HookedRow): string {
  return upload.state === 'attached' ? uuidv7() : `${uuidv7()}:${readHookRound(upload) + 1}`
}

/** Milliseconds from the end of a round to the next one: 10 s, then 20 s. */
export function hookRoundDelay(round: number): number {
  return BASE_DELAY_MS * 2 ** round
}
