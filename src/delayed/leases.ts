import { later } from '../database/expressions.ts'
import type { Store } from '../database/store.ts'
import { LEASE } from './claim.ts'
import type { Report } from './definition.ts'

/** A worker's hold on an upload. `signal` aborts before the lease can have ended. */
export interface Lease {
  readonly signal: AbortSignal
  release(): void
}

export interface Leases {
  hold(leaseToken: string): Lease
}

interface Held {
  readonly controller: AbortController
  users: number
  /** By this process' monotonic clock. */
  goodUntil: number
}

const RENEW_EVERY = LEASE / 4
/** Work stops this long before another worker may take over. */
const MARGIN = 5_000

/** Renews all leases of a worker with one statement. Its timer runs only while something is held. */
export function createLeases(store: Store, report: Report): Leases {
  const held = new Map<string, Held>()
  let timer: NodeJS.Timeout | undefined
  let busy = false

  const lose = (token: string, why: string): void => {
    const lease = held.get(token)
    if (lease === undefined) return
    held.delete(token)
    lease.controller.abort(new Error(`The lease of this upload was lost: ${why}. Another worker goes on.`))
  }

  const beat = async (): Promise<void> => {
    for (const [token, lease] of held) if (performance.now() > lease.goodUntil) lose(token, 'it could not be renewed in time')
    if (busy || held.size === 0) return
    busy = true
    const started = performance.now()
    const tokens = [...held.keys()]
    try {
      await store.session.db
        .updateTable('uploads')
        .set({ lease_until: later(store.dialect, LEASE) })
        .where('lease_token', 'in', tokens)
        .execute()
      const rows = await store.session.db.selectFrom('uploads').select('lease_token').where('lease_token', 'in', tokens).execute()
      const alive = new Set(rows.map((row) => row.lease_token))
      for (const token of tokens) {
        const lease = held.get(token)
        if (alive.has(token) && lease !== undefined) lease.goodUntil = started + LEASE - MARGIN
        else lose(token, 'it was discarded, superseded or taken over')
      }
    } catch (error) {
      report('warn', 'The heartbeat failed; the work goes on until its lease is about to end.', { error })
    } finally {
      busy = false
    }
  }

  const stopWhenIdle = (): void => {
    if (held.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    hold(leaseToken) {
      const lease = held.get(leaseToken) ?? {
        controller: new AbortController(),
        users: 0,
        goodUntil: performance.now() + LEASE - MARGIN,
      }
      lease.users += 1
      held.set(leaseToken, lease)
      timer ??= setInterval(() => void beat().finally(stopWhenIdle), Math.min(RENEW_EVERY, 5_000))
      return {
        signal: lease.controller.signal,
        release: () => {
          lease.users -= 1
          if (lease.users === 0 && held.get(leaseToken) === lease) held.delete(leaseToken)
          stopWhenIdle()
        },
      }
    },
  }
}
