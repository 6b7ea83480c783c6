import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import type { Task, WorkSource } from './work-source.ts'

/** Options of a worker and of a drain. */
export interface WorkOptions {
  /** Sources of work, in the order in which they are asked. */
  readonly sources: readonly WorkSource[]
  /** Number of pieces of work that run at once. */
  readonly concurrency: number
  /** Repairs what crashes left. The signal ends it early; the next sweep does the rest. */
  sweep(signal?: AbortSignal): Promise<unknown>
  /** Called with each error that no task could store. */
  onError(message: string, error: unknown): void
}

/** Options of a worker that runs until it is stopped. */
export interface EmbeddedWorkerOptions extends WorkOptions {
  /** Calls `wake` whenever there may be work. Returns how to stop. */
  subscribe(wake: () => void): () => void
  /** Milliseconds between two polls, read before each pause. */
  pollEvery(): number
}

/** Milliseconds between the beginnings of two sweeps, at least. */
const SWEEP_INTERVAL_MS = 60_000

/**
 * Every Nth poll visits the sources in reverse, so that a backlog of uploads cannot starve purges.
 */
const REVERSE_EVERY = 8

/** Milliseconds until the next poll after an error; they double. */
const MIN_BACK_OFF_MS = 250
const MAX_BACK_OFF_MS = 10_000

/**
 * The embedded engine, which claims work from the tables. Any number of processes may have one. A
 * wake-up only makes it poll sooner.
 */
export class EmbeddedWorker {
  /** Resolves when the worker claims nothing any more and its last sweep has ended. */
  readonly done: Promise<void>
  readonly #options: EmbeddedWorkerOptions
  readonly #tasks = new Set<Promise<void>>()
  /** Aborts the running tasks. */
  readonly #stopTasks = new AbortController()
  readonly #stopSweep = new AbortController()
  #isStopped = false
  #isWoken = false
  #endPause: () => void = () => {}
  #polls = 0
  #sweptAt = -Infinity
  #sweep: Promise<unknown> | undefined

  constructor(options: EmbeddedWorkerOptions) {
    this.#options = options
    const unsubscribe = options.subscribe(() => this.#wake())
    this.done = this.#loop()
      .then(async () => {
        await this.#sweep
      })
      .finally(unsubscribe)
  }

  /**
   * Claims no more work, waits up to `timeout` milliseconds for running tasks, then aborts them.
   */
  async stop(timeout: number): Promise<void> {
    this.#isStopped = true
    this.#stopSweep.abort()
    this.#endPause()
    const timer = setTimeout(
      () => this.#stopTasks.abort(new Error('The worker is stopping.')),
      timeout,
    )
    await waitWithGrace(this.#waitForTasks(), timeout, this.#tasks, this.#options.onError)
    clearTimeout(timer)
  }

  async #waitForTasks(): Promise<void> {
    await this.done
    while (this.#tasks.size > 0) await Promise.all(this.#tasks)
  }

  #wake(): void {
    this.#isWoken = true
    this.#endPause()
  }

  async #loop(): Promise<void> {
    let backOff = 0
    while (!this.#isStopped) {
      this.#isWoken = false
      try {
        this.#sweepIfDue()
        const claimed = await this.#claim()
        backOff = 0
        if (claimed > 0 && this.#tasks.size < this.#options.concurrency) continue
        await this.#pause(this.#options.pollEvery())
      } catch (error) {
        this.#options.onError('The worker could not reach its database; it tries again.', error)
        backOff = Math.min(Math.max(backOff * 2, MIN_BACK_OFF_MS), MAX_BACK_OFF_MS)
        this.#isWoken = false
        await this.#pause(backOff)
      }
    }
  }

  /** Claims work up to the free capacity and starts it. Returns how many pieces it claimed. */
  async #claim(): Promise<number> {
    const { sources, concurrency } = this.#options
    let claimed = 0
    this.#polls += 1
    for (const source of this.#polls % REVERSE_EVERY === 0 ? sources.toReversed() : sources) {
      const capacity = concurrency - this.#tasks.size
      if (capacity < 1 || this.#isStopped) break
      const tasks = await source.claim(capacity)
      claimed += tasks.length
      for (const task of tasks) this.#start(task)
    }
    return claimed
  }

  #start(task: Task): void {
    const promise: Promise<void> = task
      .run(this.#stopTasks.signal)
      .catch((error: unknown) =>
        this.#options.onError('A task could not store its failure; its lease will expire.', error),
      )
      .finally(() => {
        this.#tasks.delete(promise)
        this.#wake()
      })
    this.#tasks.add(promise)
  }

  /** Starts a sweep beside the work, because a sweep may have gigabytes to delete. */
  #sweepIfDue(): void {
    if (this.#sweep !== undefined || performance.now() - this.#sweptAt <= SWEEP_INTERVAL_MS) return
    this.#sweptAt = performance.now()
    this.#sweep = this.#options
      .sweep(this.#stopSweep.signal)
      .catch((error: unknown) =>
        this.#options.onError('The sweep failed; the next one makes up for it.', error),
      )
      .finally(() => {
        this.#sweep = undefined
        this.#wake()
      })
  }

  async #pause(milliseconds: number): Promise<void> {
    if (this.#isWoken || this.#isStopped) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.#endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#endPause = () => {}
  }
}

/**
 * Waits until `end` settles, for `milliseconds` and a grace time at most. Tasks that ignore the
 * abort signal are reported and left; their leases expire.
 */
export async function waitWithGrace(
  end: Promise<unknown>,
  milliseconds: number,
  tasks: ReadonlySet<unknown>,
  onError: WorkOptions['onError'],
): Promise<void> {
  if (!(await endsWithin(end, milliseconds + STOP_GRACE_MS)))
    onError(
      'Some work did not stop in time. The worker does not wait for it any longer.',
      new Error(
        `${tasks.size} pieces of work still run, such as a hook that never returns. Their leases expire by themselves.`,
      ),
    )
}
