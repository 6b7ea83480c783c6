import { channel } from 'node:diagnostics_channel'

/** Diagnostics channels of the steps of an upload, at which a process can be killed. */
const channelsByPoint = {
  /** No byte of a file is staged yet. */
  staging: 'stage:start',
  /** A file is staged, and `stage` has not returned. */
  staged: 'stage:asyncEnd',
  /** A worker has claimed an upload, and has not started it. */
  claimed: 'delayed_upload:start',
  /** No byte has been sent to the service yet. */
  uploading: 'service_upload:start',
  /** The service has the object, and no attachment refers to it. */
  uploaded: 'service_upload:asyncEnd',
  /** The attachment is committed, and no hook has run. */
  attached: 'attach:asyncEnd',
  /** The hooks have returned. */
  finished: 'delayed_upload:asyncEnd',
  /** An object is about to be deleted. */
  deleting: 'service_delete:start',
  /** An object is deleted, and its job is not finished. */
  deleted: 'service_delete:asyncEnd',
} as const

/** A step at which `killAt` ends the process. One of `killPoints`. */
export type KillPoint = keyof typeof channelsByPoint

/** All kill points, for a test of each. */
export const killPoints: readonly KillPoint[] = Object.keys(channelsByPoint) as KillPoint[]

/**
 * Ends this process at `point`, as `kill -9` does. Call it in a worker, or an app, that the test
 * runs in a process of its own.
 *
 * @example
 * killAt('uploaded')
 * await storage.drain() // never returns
 */
export function killAt(point: KillPoint): void {
  channel(`tracing:activestorage-delayed:${channelsByPoint[point]}`).subscribe(() =>
    process.kill(process.pid, 'SIGKILL'),
  )
}
