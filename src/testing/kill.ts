import { channel } from 'node:diagnostics_channel'

/** Steps of an upload's way at which a process can be made to die. */
const channelsByPoint = {
  /** A file's first byte is not staged yet. */
  staging: 'stage:start',
  /** A file is staged, and its caller does not know. */
  staged: 'stage:asyncEnd',
  /** A worker has an upload, and did nothing for it yet. */
  claimed: 'delayed_upload:start',
  /** Before the first byte goes to the service. */
  uploading: 'service_upload:start',
  /** The service has the object, and no attachment names it. */
  uploaded: 'service_upload:asyncEnd',
  /** The attachment is committed, and no hook was called. */
  attached: 'attach:asyncEnd',
  /** The hooks returned. */
  finished: 'delayed_upload:asyncEnd',
  /** Before an object is deleted. */
  deleting: 'service_delete:start',
  /** An object is deleted, and its job is not done. */
  deleted: 'service_delete:asyncEnd',
} as const

/** One of `killPoints`. */
export type KillPoint = keyof typeof channelsByPoint

/** All of them, to test each. */
export const killPoints: readonly KillPoint[] = Object.keys(channelsByPoint) as KillPoint[]

/**
 * Ends this process as `kill -9` does when it comes to `point`. For a worker, or an app, that a test runs in a process
 * of its own.
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
