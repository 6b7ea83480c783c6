import type { PortableExecutor } from '../database/executor.ts'

/**
 * A message that an upload is due. It may be delivered twice, late or never: the upload's row
 * decides what happens.
 */
export interface QueueMessage {
  readonly kind: 'upload'
  /** The upload's token. */
  readonly id: string
}

/** Options of `enqueue`. */
export interface EnqueueOptions {
  /**
   * Runs statements; for a transactional engine, in the transaction that submits the upload.
   * Parameters are `$1`, `$2` … on every database and with every binding.
   */
  readonly executor: PortableExecutor
  /** Earliest time of the delivery. null: now. */
  readonly runAt: Date | null
}

/** The worker of a queue. */
export interface EngineWorker {
  /**
   * Takes no more messages. Resolves when the running handlers have returned, or after `timeout`
   * milliseconds.
   */
  stop(timeout: number): Promise<void>
}

/**
 * A queue of the app's own (graphile-worker, pg-boss, BullMQ …) that delivers uploads to workers.
 * Without one, the embedded engine polls. Only uploads are enqueued; workers find all other work by
 * a slow poll.
 */
export interface JobEngine {
  /** For logs. */
  readonly name: string
  /**
   * true: the queue is in the app's database, and `enqueue` is called inside the transaction that
   * submits. false: `enqueue` is called after the commit, or by the next sweep, within a minute,
   * where the library does not see the commit.
   */
  readonly transactional: boolean
  /**
   * Enqueues a message. Rejects if it cannot; a transaction that submits is then rolled back.
   * Elsewhere a call that takes longer than five seconds counts as failed too: the failure is
   * logged, the workers of this process poll until the queue takes a message again, and the next
   * sweep repeats this one.
   */
  enqueue(message: QueueMessage, options: EnqueueOptions): Promise<void>
  /**
   * Calls `handle` for each message, `concurrency` at once. `handle` never rejects; when it
   * resolves, the message is done.
   */
  work(
    handle: (message: QueueMessage) => Promise<void>,
    options: { readonly concurrency: number },
  ): Promise<EngineWorker>
}
