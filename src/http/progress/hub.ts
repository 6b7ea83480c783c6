import type { StorageContext } from '../../attached/context.ts'
import { findSnapshots, type UploadSnapshot } from './snapshot.ts'

/** One look at the database feeds any number of browsers that follow uploads. */
export interface ProgressHub {
  /** Tells `tell` at once, and again when something changed; null: there is no such upload. Returns how to stop. */
  follow(token: string, tell: (snapshot: UploadSnapshot | null) => void): () => void
  /** Something may have changed in this process. */
  refresh(): void
  /** Calls every now and then, as long as somebody follows. */
  readonly heartbeats: Set<() => void>
  /** Ends: nobody is told of anything any more. */
  close(): void
}

/** Milliseconds. Bytes move while an upload runs, and most run soon after they changed; else they wait for their turn, or for a person. */
const ACTIVE_INTERVAL_MS = 500
const IDLE_INTERVAL_MS = 2_000
const ACTIVE_WINDOW_MS = 10_000
const HEARTBEAT_INTERVAL_MS = 15_000
/** Uploads asked for in one statement. */
const SNAPSHOT_BATCH_SIZE = 500
/** What changes in quick succession is looked at once. */
const DEBOUNCE_MS = 50

interface FollowedToken {
  readonly listeners: Set<(snapshot: UploadSnapshot | null) => void>
  told: string | undefined
  last: UploadSnapshot | null | undefined
  changedAt: number
  dueAt: number
}

export function createProgressHub(context: StorageContext): ProgressHub {
  const followed = new Map<string, FollowedToken>()
  const beats = new Set<() => void>()
  let timer: NodeJS.Timeout | undefined
  let beat: NodeJS.Timeout | undefined
  let looking = false
  let closed = false

  const schedule = (): void => {
    clearTimeout(timer)
    if (looking || closed || followed.size === 0) return
    let due = Infinity
    for (const { dueAt } of followed.values()) due = Math.min(due, dueAt)
    timer = setTimeout(() => void look(), Math.max(0, due - performance.now()))
  }
  const tell = (each: FollowedToken, snapshot: UploadSnapshot | null): void => {
    const text = JSON.stringify(snapshot)
    const now = performance.now()
    if (each.told !== text) each.changedAt = now
    each.dueAt =
      now +
      (snapshot?.state === 'running' || now - each.changedAt < ACTIVE_WINDOW_MS
        ? ACTIVE_INTERVAL_MS
        : IDLE_INTERVAL_MS)
    if (each.told === text) return
    each.told = text
    each.last = snapshot
    for (const listener of each.listeners) listener(snapshot)
  }
  const look = async (): Promise<void> => {
    looking = true
    const now = performance.now()
    const due = [...followed].flatMap(([token, { dueAt }]) =>
      dueAt <= now + DEBOUNCE_MS ? [token] : [],
    )
    try {
      for (let at = 0; at < due.length && !closed; at += SNAPSHOT_BATCH_SIZE) {
        const tokens = due.slice(at, at + SNAPSHOT_BATCH_SIZE)
        const found = await findSnapshots(context, tokens)
        for (const token of tokens) {
          const each = followed.get(token)
          if (each !== undefined && !closed) tell(each, found.get(token) ?? null)
        }
      }
    } catch (error) {
      context.log(
        'debug',
        'Uploads that are followed could not be looked at; they are again in a moment.',
        { error },
      )
      for (const token of due) {
        const each = followed.get(token)
        if (each !== undefined) each.dueAt = performance.now() + IDLE_INTERVAL_MS
      }
    } finally {
      looking = false
      schedule()
    }
  }
  return {
    heartbeats: beats,
    follow(token, listener) {
      const each = followed.get(token) ?? {
        listeners: new Set(),
        told: undefined,
        last: undefined,
        changedAt: 0,
        dueAt: 0,
      }
      followed.set(token, each)
      each.listeners.add(listener)
      if (each.last === undefined) each.dueAt = 0
      else listener(each.last)
      beat ??= setInterval(() => {
        for (const call of beats) call()
      }, HEARTBEAT_INTERVAL_MS).unref()
      schedule()
      return () => {
        each.listeners.delete(listener)
        if (each.listeners.size === 0) followed.delete(token)
        if (followed.size > 0) return
        clearInterval(beat)
        beat = undefined
        clearTimeout(timer)
      }
    },
    refresh() {
      const soon = performance.now() + DEBOUNCE_MS
      for (const each of followed.values()) each.dueAt = Math.min(each.dueAt, soon)
      schedule()
    },
    close() {
      closed = true
      clearTimeout(timer)
      clearInterval(beat)
      for (const { listeners } of followed.values())
        for (const listener of listeners) listener(null)
      followed.clear()
    },
  }
}
