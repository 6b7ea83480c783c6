import { uuidv7 } from '../uuid.ts'
import type { UploadRow } from './upload-rows.ts'

/** How often hooks are told before what they were to be told of counts as told. */
export const ROUNDS: number = 3

/**
 * Which round of hooks a claim is, from 1. Claims are counted, not returns, so that a hook that kills its process ends
 * too. Of an upload whose files are all attached `attempts` counts; one that failed keeps its attempts for people to
 * see, and counts in its lease token.
 */
export function roundOf(upload: UploadRow): number {
  if (upload.state === 'attached') return upload.attempts + 1
  return Number(/:(\d+)$/.exec(upload.leaseToken ?? '')?.[1] ?? 1)
}

/** The lease token of the next round. */
export function hookLease(upload: UploadRow): string {
  return upload.state === 'attached' ? uuidv7() : `${uuidv7()}:${roundOf(upload) + 1}`
}
