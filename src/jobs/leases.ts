import type { ReservedConnection } from '../database/database.ts'
import { nowPlus } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { deleteWorker, writeWorker } from './worker-rows.ts'

/** Time for which claimed work belongs to its worker alone, unless the worker renews it. */
export const LEASE_MS = 60_000

/** The right of a worker to run one piece of claimed work. */
export interface Lease {
  /** Aborts before the lease can have expired. */
  readonly signal: AbortSignal
  /** Ends the renewals. The row keeps its lease until the work's outcome is written. */
  stopRenewing(): void
}

/** Options of `Leases`. */
export interface LeasesOptions {
  /** The row that shows operators a live worker. Default: no row, for drains and direct attaches. */
  readonly worker?: { readonly id: string; readonly attachments: readonly string[] }
  onError(message: string, error: unknown): void
  /** Milliseconds that a lease lasts; for tests. Default: LEASE_MS. */
  readonly duration?: number
}

interface HeldLease {
  readonly controller: AbortController
  /** Aborts the lease, unless a heartbeat puts it off. */
  readonly deadline: NodeJS.Timeout
  /** How many callers of `hold` have not stopped renewing it. */
  holders: number
}

/**
 * The leases of one worker, or of one drain. A heartbeat renews them all with one statement for
 * each table. It has a connection of its own where the pool has enough, because it must not wait
 * behind the work that it keeps alive. Its timers are monotonic, so that no two clocks are
 * compared.
 */
export class Leases {
  readonly #store: Store
  readonly #worker: LeasesOptions['worker']
  readonly #onError: LeasesOptions['onError']
  readonly #duration: number
  /** The lease ends this long before the database lets others claim the work. */
  readonly #margin: number
  readonly #leases = new Map<string, HeldLease>()
  #connection: ReservedConnection | null = null
  #reserving: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #heartbeat: Promise<void> | undefined
  #isClosed = false

  constructor(store: Store, { worker, onError, duration = LEASE_MS }: LeasesOptions) {
    this.#store = store
    this.#worker = worker
    this.#onError = onError
    this.#duration = duration
    this.#margin = duration / 12
    if (worker !== undefined) {
      this.#startTimer()
      void this.renew()
    }
  }

  /** Renews the lease with this token until its holder calls `stopRenewing`. */
  hold(leaseToken: string): Lease {
    const lease = this.#leases.get(leaseToken) ?? this.#createLease(leaseToken)
    lease.holders += 1
    this.#leases.set(leaseToken, lease)
    this.#startTimer()
    return {
      signal: lease.controller.signal,
      stopRenewing: () => {
        lease.holders -= 1
        if (lease.holders === 0 && this.#leases.get(leaseToken) === lease) {
          this.#leases.delete(leaseToken)
          clearTimeout(lease.deadline)
        }
        this.#pauseWhenIdle()
      },
    }
  }

  /** Renews all leases now, or waits for the heartbeat that does. The timer calls it. */
  renew(): Promise<void> {
    this.#heartbeat ??= this.#renewInTime().finally(() => {
      this.#heartbeat = undefined
    })
    return this.#heartbeat
  }

  /** Ends the heartbeat and removes the worker's row. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const { deadline } of this.#leases.values()) clearTimeout(deadline)
    await this.#heartbeat
    if (this.#worker !== undefined)
      await deleteWorker(this.#store.session, this.#worker.id).catch((error: unknown) =>
        this.#onError("The worker's row could not be removed; it is swept after a day.", error),
      )
    await this.#connection?.release()
    this.#connection = null
  }

  #createLease(leaseToken: string): HeldLease {
    return {
      controller: new AbortController(),
      deadline: setTimeout(
        () => this.#lose(leaseToken, 'it could not be renewed in time'),
        this.#duration - this.#margin,
      ),
      holders: 0,
    }
  }

  #lose(leaseToken: string, reason: string): void {
    const lease = this.#leases.get(leaseToken)
    if (lease === undefined) return
    this.#leases.delete(leaseToken)
    clearTimeout(lease.deadline)
    lease.controller.abort(new Error(`The lease was lost: ${reason}. Another worker goes on.`))
  }

  #startTimer(): void {
    this.#timer ??= setInterval(() => void this.renew(), this.#duration / 4)
  }

  async #renewInTime(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<never>((_resolve, reject) => {
      const error = new Error('The database did not respond in time.')
      timer = setTimeout(() => reject(error), this.#duration / 4)
    })
    try {
      await Promise.race([this.#renewAll(), timeout])
    } catch (error) {
      const connection = this.#connection
      this.#connection = null
      // A connection that is half open may never report that it is closed.
      void connection?.destroy().catch(() => undefined)
      this.#onError(
        'The heartbeat failed; the work goes on until its lease is about to end.',
        error,
      )
    } finally {
      clearTimeout(timer)
    }
  }

  async #renewAll(): Promise<void> {
    if (this.#connection === null) await this.#reserve()
    const session =
      this.#connection === null
        ? this.#store.session
        : this.#store.sessionOn(this.#connection.executor)
    if (this.#worker !== undefined) await writeWorker(session, this.#worker)
    const started = performance.now()
    const tokens = [...this.#leases.keys()]
    if (tokens.length === 0) return
    const alive = new Set([
      ...(await renewLeases(session, 'uploads', tokens, this.#duration)),
      ...(await renewLeases(session, 'jobs', tokens, this.#duration)),
    ])
    // A slow response has used up a part of the lease, so the deadline stays as it was until the
    // next heartbeat.
    const isQuick = performance.now() - started < this.#margin
    for (const token of tokens)
      if (!alive.has(token)) this.#lose(token, 'it was discarded, superseded or taken over')
      else if (isQuick) this.#leases.get(token)?.deadline.refresh()
  }

  /**
   * Reserves one connection at a time: while the pool is empty, each heartbeat would otherwise
   * queue for one more.
   */
  #reserve(): Promise<void> {
    this.#reserving ??= this.#reserveConnection().finally(() => {
      this.#reserving = undefined
    })
    return this.#reserving
  }

  async #reserveConnection(): Promise<void> {
    const connection = (await this.#store.database.reserve?.()) ?? null
    if (this.#isClosed || this.#isIdle()) await connection?.release()
    else this.#connection = connection
  }

  #isIdle(): boolean {
    return this.#leases.size === 0 && this.#worker === undefined
  }

  /**
   * Gives the connection back when there is nothing to renew, because the app's pool must not lack
   * it for ever.
   */
  #pauseWhenIdle(): void {
    if (!this.#isIdle()) return
    clearInterval(this.#timer)
    this.#timer = undefined
    void this.#connection?.release().catch(() => undefined)
    this.#connection = null
  }
}

/** Renews the leases with these tokens. Returns the tokens of those that still exist. */
async function renewLeases(
  session: Session,
  table: 'uploads' | 'jobs',
  tokens: readonly string[],
  duration: number,
): Promise<string[]> {
  await session.db
    .updateTable(table)
    .set({ lease_until: nowPlus(session.dialect, duration) })
    .where('lease_token', 'in', tokens)
    .execute()
  const rows = await session.db
    .selectFrom(table)
    .select('lease_token')
    .where('lease_token', 'in', tokens)
    .execute()
  return rows.map((row) => String(row.lease_token))
}
