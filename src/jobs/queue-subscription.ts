import { setTimeout as delay } from 'node:timers/promises'
import type { EngineWorker, QueueMessage, JobEngine } from './engine.ts'

/** Milliseconds. */
const RESUBSCRIBE_WAIT_MS = { first: 1_000, last: 60_000 }

/** The app's own queue, which delivers uploads. Where it cannot be reached, it is tried again, and the tables are looked at. */
export interface QueueSubscription {
  /** Hints come; else workers have to look by themselves. */
  isDelivering(): boolean
  stop(milliseconds: number): Promise<void>
}

export function subscribeToQueue(
  engine: JobEngine | null,
  handle: (hint: QueueMessage) => Promise<void>,
  concurrency: number,
  report: (level: 'error', message: string, details: object) => void,
): QueueSubscription {
  if (engine === null) return { isDelivering: () => false, stop: () => Promise.resolve() }
  const over = new AbortController()
  let worker: EngineWorker | null = null
  let isDown = false
  const follow = (hint: QueueMessage): Promise<void> =>
    handle(hint).catch((error: unknown) =>
      report('error', 'A hint could not be followed; the next sweep gives it again.', { error }),
    )
  const subscribe = async (): Promise<void> => {
    for (
      let wait = RESUBSCRIBE_WAIT_MS.first;
      !over.signal.aborted;
      wait = Math.min(wait * 2, RESUBSCRIBE_WAIT_MS.last)
    ) {
      try {
        worker = await engine.work(follow, { concurrency })
        isDown = false
        return
      } catch (error) {
        isDown = true
        report(
          'error',
          `${engine.name} does not deliver; it is tried again, and uploads are looked for meanwhile.`,
          { error },
        )
        await delay(wait, undefined, { signal: over.signal }).catch(() => undefined)
      }
    }
  }
  const subscribed = subscribe()
  return {
    isDelivering: () => !isDown,
    async stop(milliseconds) {
      over.abort()
      await subscribed
      await worker?.stop(milliseconds)
    },
  }
}
