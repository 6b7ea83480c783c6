import type { StorageContext } from '../../attached/context.ts'
import { findSnapshots, type UploadSnapshot } from '../../attached/upload-snapshot.ts'

/**
 * Milliseconds between two looks at a running upload, or one that has changed in the last
 * `ACTIVE_WINDOW`.
 */
const ACTIVE_INTERVAL = 500
/** Milliseconds between two looks at an upload that waits for its turn, or for a manual retry. */
const IDLE_INTERVAL = 2_000
/** Milliseconds. */
const ACTIVE_WINDOW = 10_000
/** Milliseconds between two heartbeats. */
const HEARTBEAT_INTERVAL = 15_000
/** Milliseconds in which several changes cause one look. */
const DEBOUNCE = 50
/** Uploads that one statement reads. */
const BATCH_SIZE = 500

/** Gets each new state of an upload. null: there is no such upload, or the hub has closed. */
export type SnapshotListener = (snapshot: UploadSnapshot | null) => void

interface WatchedUpload {
  readonly listeners: Set<SnapshotListener>
  /** JSON of the last state. */
  text: string | undefined
  last: UploadSnapshot | null | undefined
  changedAt: number
  dueAt: number
}

/** Follows uploads for any number of browsers with one query of the database at a time. */
export class ProgressHub {
  /** Called every 15 seconds while a page follows an upload. */
  readonly heartbeats: Set<() => void> = new Set()
  readonly #context: StorageContext
  readonly #now: () => number
  readonly #followed = new Map<string, WatchedUpload>()
  #timer: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #isLooking = false
  #isClosed = false

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(context: StorageContext, now: () => number = () => performance.now()) {
    this.#context = context
    this.#now = now
  }

  /** Calls `listener` at once and after each change. Returns a function that stops it. */
  follow(token: string, listener: SnapshotListener): () => void {
    const upload = this.#followed.get(token) ?? {
      listeners: new Set(),
      text: undefined,
      last: undefined,
      changedAt: 0,
      dueAt: 0,
    }
    this.#followed.set(token, upload)
    upload.listeners.add(listener)
    if (upload.last === undefined) upload.dueAt = 0
    else listener(upload.last)
    this.#heartbeat ??= setInterval(() => {
      for (const beat of this.heartbeats) beat()
    }, HEARTBEAT_INTERVAL).unref()
    this.#schedule()
    return () => this.#unfollow(token, upload, listener)
  }

  /** Looks at all followed uploads soon, because this process may have changed some. */
  refresh(): void {
    const soon = this.#now() + DEBOUNCE
    for (const upload of this.#followed.values()) upload.dueAt = Math.min(upload.dueAt, soon)
    this.#schedule()
  }

  /** Ends all streams: each listener gets null, and then nothing more. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    clearInterval(this.#heartbeat)
    for (const { listeners } of this.#followed.values())
      for (const listener of listeners) listener(null)
    this.#followed.clear()
  }

  #unfollow(token: string, upload: WatchedUpload, listener: SnapshotListener): void {
    upload.listeners.delete(listener)
    if (upload.listeners.size === 0 && this.#followed.get(token) === upload)
      this.#followed.delete(token)
    if (this.#followed.size > 0) return
    clearInterval(this.#heartbeat)
    this.#heartbeat = undefined
    clearTimeout(this.#timer)
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#isLooking || this.#isClosed || this.#followed.size === 0) return
    let dueAt = Infinity
    for (const upload of this.#followed.values()) dueAt = Math.min(dueAt, upload.dueAt)
    this.#timer = setTimeout(() => void this.#look(), Math.max(0, dueAt - this.#now()))
  }

  async #look(): Promise<void> {
    this.#isLooking = true
    const latest = this.#now() + DEBOUNCE
    const due = [...this.#followed].flatMap(([token, { dueAt }]) =>
      dueAt <= latest ? [token] : [],
    )
    try {
      for (let at = 0; at < due.length && !this.#isClosed; at += BATCH_SIZE)
        await this.#lookAt(due.slice(at, at + BATCH_SIZE))
    } catch (error) {
      this.#context.log('debug', 'Followed uploads could not be read; the next look is soon.', {
        error,
      })
      for (const token of due) {
        const upload = this.#followed.get(token)
        if (upload !== undefined) upload.dueAt = this.#now() + IDLE_INTERVAL
      }
    } finally {
      this.#isLooking = false
      this.#schedule()
    }
  }

  async #lookAt(tokens: readonly string[]): Promise<void> {
    const snapshots = await findSnapshots(this.#context, tokens)
    for (const token of tokens) {
      const upload = this.#followed.get(token)
      if (upload !== undefined && !this.#isClosed)
        this.#publish(upload, snapshots.get(token) ?? null)
    }
  }

  #publish(upload: WatchedUpload, snapshot: UploadSnapshot | null): void {
    const text = JSON.stringify(snapshot)
    const now = this.#now()
    const hasChanged = upload.text !== text
    if (hasChanged) upload.changedAt = now
    const isActive = snapshot?.state === 'running' || now - upload.changedAt < ACTIVE_WINDOW
    upload.dueAt = now + (isActive ? ACTIVE_INTERVAL : IDLE_INTERVAL)
    if (!hasChanged) return
    upload.text = text
    upload.last = snapshot
    for (const listener of upload.listeners) listener(snapshot)
  }
}
