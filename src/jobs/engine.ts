import type { PortableExecutor } from '../database/executor.ts'

/** Names a row that is due. Delivered twice, late or never, nothing breaks: the row is the truth. */
export interface QueueMessage {
  readonly kind: 'upload'
  /** The upload's token. */
  readonly id: string
}

/** Beside a hint. */
export interface EnqueueOptions {
  /**
   * Runs statements where the row was written: for a transactional engine, in that very transaction. Parameters are `$1`,
   * `$2` … on every database and with every binding.
   */
  readonly executor: PortableExecutor
  /** Not before; null: now. */
  readonly runAt: Date | null
}

/** What a queue returns from `work`. */
export interface EngineWorker {
  /** Takes no more hints and returns when the running handlers have returned, or after `timeout` milliseconds. */
  stop(timeout: number): Promise<void>
}

/**
 * A queue of the app's own (graphile-worker, pg-boss, BullMQ …) that tells workers when to look. Without one, the
 * embedded engine looks by itself. Only uploads are hinted; other work is found by each worker's slow poll.
 */
export interface JobEngine {
  /** For logs. */
  readonly name: string
  /**
   * true: it writes into the app's database, so `enqueue` is called inside the transaction that submits. false:
   * `enqueue` is called after the commit where the library knows of it, else by the next sweep, within a minute.
   */
  readonly transactional: boolean
  /** Rejects when it could not write the hint down; the transaction of a submission is undone then. */
  enqueue(hint: QueueMessage, options: EnqueueOptions): Promise<void>
  /** Calls `handle` for each hint. `handle` never rejects; when it returns, the hint is done with. */
  work(
    handle: (hint: QueueMessage) => Promise<void>,
    options: { readonly concurrency: number },
  ): Promise<EngineWorker>
}
