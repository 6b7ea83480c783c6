import type { ReservedConnection } from '../database/database.ts'
import { nowPlus } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { deleteWorker, writeWorker } from './worker-rows.ts'

/** How long claimed work belongs to its worker alone, unless the worker renews it. */
export const LEASE_MS = 60_000

/**
 * A worker's hold on one piece of claimed work. `signal` aborts before the lease can have expired.
 */
export interface Lease {
  readonly signal: AbortSignal
  release(): void
}

/** Options of `Leases`. */
export interface LeasesOptions {
  /** Writes the row that shows operators a live worker. Left out by drains and direct uploads. */
  readonly worker?: { readonly id: string; readonly attachments: readonly string[] }
  onError(message: string, error: unknown): void
  /** Milliseconds; for tests. Default: LEASE_MS. */
  readonly lease?: number
}

interface HeldLease {
  readonly controller: AbortController
  readonly deadline: NodeJS.Timeout
  users: number
}

/**
 * The leases of one worker, or of one drain. A heartbeat renews them all with one statement for
 * each table, on a connection of its own where the pool has enough: it must not wait behind the
 * work that it keeps alive. Its timers are monotonic, so that no two clocks are compared.
 */
export class Leases {
  readonly #store: Store
  readonly #worker: LeasesOptions['worker']
  readonly #onError: LeasesOptions['onError']
  readonly #lease: number
  /** The lease ends this long before the database lets others claim the work. */
  readonly #margin: number
  readonly #held = new Map<string, HeldLease>()
  #connection: ReservedConnection | null = null
  #reserving: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #heartbeat: Promise<void> | undefined
  #isClosed = false

  constructor(store: Store, { worker, onError, lease = LEASE_MS }: LeasesOptions) {
    this.#store = store
    this.#worker = worker
    this.#onError = onError
    this.#lease = lease
    this.#margin = lease / 12
    if (worker !== undefined) {
      this.#startTimer()
      this.#beat()
    }
  }

  /** Holds the lease with this token until it is released, and renews it meanwhile. */
  hold(leaseToken: string): Lease {
    const held = this.#held.get(leaseToken) ?? this.#createHeld(leaseToken)
    held.users += 1
    this.#held.set(leaseToken, held)
    this.#startTimer()
    return {
      signal: held.controller.signal,
      release: () => {
        held.users -= 1
        if (held.users === 0 && this.#held.get(leaseToken) === held) {
          this.#held.delete(leaseToken)
          clearTimeout(held.deadline)
        }
        this.#pauseWhenIdle()
      },
    }
  }

  /** Ends the heartbeat and removes the worker's row. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const { deadline } of this.#held.values()) clearTimeout(deadline)
    await this.#heartbeat
    if (this.#worker !== undefined)
      await deleteWorker(this.#store.session, this.#worker.id).catch((error: unknown) =>
        this.#onError("The worker's row could not be removed; it is swept after a day.", error),
      )
    await this.#connection?.release(false)
    this.#connection = null
  }

  #createHeld(leaseToken: string): HeldLease {
    return {
      controller: new AbortController(),
      deadline: setTimeout(
        () => this.#lose(leaseToken, 'it could not be renewed in time'),
        this.#lease - this.#margin,
      ),
      users: 0,
    }
  }

  #lose(leaseToken: string, reason: string): void {
    const held = this.#held.get(leaseToken)
    if (held === undefined) return
    this.#held.delete(leaseToken)
    clearTimeout(held.deadline)
    held.controller.abort(new Error(`The lease was lost: ${reason}. Another worker goes on.`))
  }

  #startTimer(): void {
    this.#timer ??= setInterval(() => this.#beat(), this.#lease / 4)
  }

  #beat(): void {
    this.#heartbeat ??= this.#renewInTime().finally(() => {
      this.#heartbeat = undefined
    })
  }

  async #renewInTime(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise<never>((_resolve, reject) => {
      const error = new Error('The database did not respond in time.')
      timer = setTimeout(() => reject(error), this.#lease / 4)
    })
    try {
      await Promise.race([this.#renewAll(), tooLate])
    } catch (error) {
      const broken = this.#connection
      this.#connection = null
      // A connection that is half open may never report that it is closed.
      void broken?.release(true).catch(() => undefined)
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
    const tokens = [...this.#held.keys()]
    if (tokens.length === 0) return
    const alive = new Set([
      ...(await renewLeases(session, 'uploads', tokens, this.#lease)),
      ...(await renewLeases(session, 'jobs', tokens, this.#lease)),
    ])
    // A slow response has used up a part of the lease: the deadline then stays as it was until the
    // next heartbeat.
    const isQuick = performance.now() - started < this.#margin
    for (const token of tokens)
      if (!alive.has(token)) this.#lose(token, 'it was discarded, superseded or taken over')
      else if (isQuick) this.#held.get(token)?.deadline.refresh()
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
    if (this.#isClosed || this.#isIdle()) await connection?.release(false)
    else this.#connection = connection
  }

  #isIdle(): boolean {
    return this.#held.size === 0 && this.#worker === undefined
  }

  /**
   * Gives the connection back when there is nothing to renew: the app's pool must not lack it for
   * ever.
   */
  #pauseWhenIdle(): void {
    if (!this.#isIdle()) return
    clearInterval(this.#timer)
    this.#timer = undefined
    void this.#connection?.release(false).catch(() => undefined)
    this.#connection = null
  }
}

/** Renews the leases with these tokens. Returns the tokens of those that still exist. */
async function renewLeases(
  session: Session,
  table: 'uploads' | 'jobs',
  tokens: readonly string[],
  lease: number,
): Promise<string[]> {
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
