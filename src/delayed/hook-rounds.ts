import { uuidv7 } from '../database/uuid.ts'
import type { UploadRow } from './upload-rows.ts'

/** How often hooks are told before what they were to be told of counts as told. */
export const MAX_HOOK_ROUNDS: number = 3

/**
 * Which round of hooks a claim is, from 1. Claims are counted, not returns, so that a hook that kills its process ends
 * too. Of an upload whose files are all attached `attempts` counts; one that failed keeps its attempts for people to
 * see, and counts in its lease token.
 */
export function readHookRound(upload: UploadRow): number {
  if (upload.state === 'attached') return upload.attempts + 1
  return Number(/:(\d+)$/.exec(upload.leaseToken ?? '')?.[1] ?? 1)
}

/** The lease token of the next round. */
export function createHookLease(upload: UploadRow): string {
  return upload.state === 'attached' ? uuidv7() : `${uuidv7()}:${readHookRound(upload) + 1}`
}
