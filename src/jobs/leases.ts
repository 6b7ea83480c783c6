import { nowPlus } from '../database/expressions.ts'
import type { ReservedConnection } from '../database/database.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { deleteWorker, writeWorker } from './worker-rows.ts'

/** Milliseconds that claimed work is its worker's alone. */
export const LEASE_MS = 60_000

/** A worker's hold on what it claimed. `signal` aborts before the lease can have ended. */
export interface Lease {
  readonly signal: AbortSignal
  release(): void
}

/** Of one worker, or of one drain. */
export interface Leases {
  hold(leaseToken: string): Lease
  /** Ends the heartbeat and removes the worker's row. */
  close(): Promise<void>
}

export interface LeasesOptions {
  /** Writes the row by which operators see that a worker lives; a drain has none. */
  readonly worker?: { readonly id: string; readonly knows: readonly string[] }
  onError(message: string, error: unknown): void
  /** Milliseconds; for tests. */
  readonly lease?: number
}

interface HeldLease {
  readonly controller: AbortController
  readonly deadline: NodeJS.Timeout
  users: number
}

/**
 * Renews all leases of a worker with one statement for each table, on a connection of its own where the pool has enough,
 * so that a heartbeat never waits behind the work it keeps alive. Timers are monotonic: no clock is compared.
 */
export function createLeases(store: Store, options: LeasesOptions): Leases {
  const { lease = LEASE_MS, worker } = options
  const margin = lease / 12
  const held = new Map<string, HeldLease>()
  let reserved: ReservedConnection | null = null
  let reserving: Promise<void> | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let beating: Promise<void> | undefined

  const lose = (token: string, why: string): void => {
    const found = held.get(token)
    if (found === undefined) return
    held.delete(token)
    clearTimeout(found.deadline)
    found.controller.abort(new Error(`The lease was lost: ${why}. Another worker goes on.`))
  }

  const renew = async (
    session: Session,
    table: 'uploads' | 'jobs',
    tokens: readonly string[],
  ): Promise<string[]> => {
    await session.db
      .updateTable(table)
      .set({ lease_until: nowPlus(session.dialect, lease) })
      .where('lease_token', 'in', tokens)
      .execute()
    const rows = await session.db
      .selectFrom(table)
      .select('lease_token')
      .where('lease_token', 'in', tokens)
      .execute()
    return rows.map((row) => String(row.lease_token))
  }

  const beat = async (): Promise<void> => {
    let late: NodeJS.Timeout | undefined
    const tooLate = new Promise<never>((_resolve, reject) => {
      late = setTimeout(() => reject(new Error('The database did not answer in time.')), lease / 4)
    })
    try {
      await Promise.race([renewAll(), tooLate])
    } catch (error) {
      const broken = reserved
      reserved = null
      // A connection that is half open may never say that it is closed.
      void broken?.release(true).catch(() => undefined)
      options.onError(
        'The heartbeat failed; the work goes on until its lease is about to end.',
        error,
      )
    } finally {
      clearTimeout(late)
    }
  }

  /** One at a time: while all connections are out, each beat would otherwise queue for one more. */
  const reserve = (): Promise<void> =>
    (reserving ??= (async () => {
      const got = (await store.database.reserve?.()) ?? null
      if (closed || isIdle()) await got?.release(false)
      else reserved = got
    })().finally(() => {
      reserving = undefined
    }))

  const renewAll = async (): Promise<void> => {
    if (reserved === null) await reserve()
    const session = reserved === null ? store.session : store.sessionOn(reserved.executor)
    if (worker !== undefined) await writeWorker(session, worker)
    const started = performance.now()
    const tokens = [...held.keys()]
    if (tokens.length === 0) return
    const alive = new Set([
      ...(await renew(session, 'uploads', tokens)),
      ...(await renew(session, 'jobs', tokens)),
    ])
    // A slow answer has used up a part of the lease: the old deadline stays then, until the next beat.
    const quick = performance.now() - started < margin
    for (const token of tokens)
      if (!alive.has(token)) lose(token, 'it was discarded, superseded or taken over')
      else if (quick) held.get(token)?.deadline.refresh()
  }

  const start = (): void => {
    timer ??= setInterval(() => {
      beating ??= beat().finally(() => {
        beating = undefined
      })
    }, lease / 4)
  }
  const isIdle = (): boolean => held.size === 0 && worker === undefined
  const pauseWhenIdle = (): void => {
    if (!isIdle()) return
    clearInterval(timer)
    timer = undefined
    // An app's pool is not to be short of one for ever.
    void reserved?.release(false).catch(() => undefined)
    reserved = null
  }

  if (worker !== undefined) {
    start()
    beating = beat().finally(() => {
      beating = undefined
    })
  }
  return {
    hold(leaseToken) {
      const found = held.get(leaseToken) ?? {
        controller: new AbortController(),
        deadline: setTimeout(
          () => lose(leaseToken, 'it could not be renewed in time'),
          lease - margin,
        ),
        users: 0,
      }
      found.users += 1
      held.set(leaseToken, found)
      start()
      return {
        signal: found.controller.signal,
        release: () => {
          found.users -= 1
          if (found.users === 0 && held.get(leaseToken) === found) {
            held.delete(leaseToken)
            clearTimeout(found.deadline)
          }
          pauseWhenIdle()
        },
      }
    },
    async close() {
      closed = true
      clearInterval(timer)
      for (const { deadline } of held.values()) clearTimeout(deadline)
      await beating
      if (worker !== undefined)
        await deleteWorker(store.session, worker.id).catch((error: unknown) =>
          options.onError("The worker's row could not be removed; it is swept after a day.", error),
        )
      await reserved?.release(false)
      reserved = null
    },
  }
}
