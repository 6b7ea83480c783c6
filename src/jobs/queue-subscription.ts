import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../diagnostics/log.ts'
import type { EngineWorker, JobEngine, QueueMessage } from './engine.ts'

/** Milliseconds between attempts to subscribe: they double from `first` to `last`. */
const RESUBSCRIBE_WAIT_MS = { first: 1_000, last: 60_000 }

/**
 * A worker's subscription to the app's own queue. While the queue cannot be reached, it subscribes
 * again and again.
 */
export interface QueueSubscription {
  /** false: workers must look for uploads themselves. */
  isDelivering(): boolean
  /** Takes no more messages, and waits up to so many milliseconds for running handlers. */
  stop(milliseconds: number): Promise<void>
}

/**
 * Subscribes to the app's queue. `handle` gets each message, `concurrency` at once. Without a queue
 * (null) nothing is delivered.
 */
export function subscribeToQueue(
  engine: JobEngine | null,
  handle: (message: QueueMessage) => Promise<void>,
  concurrency: number,
  log: Log,
): QueueSubscription {
  if (engine === null) return { isDelivering: () => false, stop: () => Promise.resolve() }
  const stop = new AbortController()
  let worker: EngineWorker | null = null
  let isDown = false
  const handleSafely = (message: QueueMessage): Promise<void> =>
    handle(message).catch((error: unknown) =>
      log('error', 'A queue message could not be handled; the next sweep enqueues it again.', {
        error,
      }),
    )
  const subscribe = async (): Promise<void> => {
    const { first, last } = RESUBSCRIBE_WAIT_MS
    for (let wait = first; !stop.signal.aborted; wait = Math.min(wait * 2, last)) {
      try {
        worker = await engine.work(handleSafely, { concurrency })
        isDown = false
        return
      } catch (error) {
        isDown = true
        log('error', `${engine.name} does not deliver; workers poll until it does.`, { error })
        await delay(wait, undefined, { signal: stop.signal }).catch(() => undefined)
      }
    }
  }
  const subscribed = subscribe()
  return {
    isDelivering: () => !isDown,
    async stop(milliseconds) {
      stop.abort()
      await subscribed
      await worker?.stop(milliseconds)
    },
  }
}
