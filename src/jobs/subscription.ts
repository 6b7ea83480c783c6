import { setTimeout as delay } from 'node:timers/promises'
import type { EngineWorker, Hint, JobEngine } from './engine.ts'

/** Milliseconds. */
const AGAIN = { first: 1_000, last: 60_000 }

/** The app's own queue, which delivers uploads. Where it cannot be reached, it is tried again, and the tables are looked at. */
export interface Subscription {
  /** Hints come; else workers have to look by themselves. */
  delivers(): boolean
  stop(milliseconds: number): Promise<void>
}

export function subscribeToQueue(
  engine: JobEngine | null,
  handle: (hint: Hint) => Promise<void>,
  concurrency: number,
  report: (level: 'error', message: string, details: object) => void,
): Subscription {
  if (engine === null) return { delivers: () => false, stop: () => Promise.resolve() }
  const over = new AbortController()
  let worker: EngineWorker | null = null
  let isDown = false
  const follow = (hint: Hint): Promise<void> =>
    handle(hint).catch((error: unknown) =>
      report('error', 'A hint could not be followed; the next sweep gives it again.', { error }),
    )
  const subscribe = async (): Promise<void> => {
    for (let wait = AGAIN.first; !over.signal.aborted; wait = Math.min(wait * 2, AGAIN.last)) {
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
    delivers: () => !isDown,
    async stop(milliseconds) {
      over.abort()
      await subscribed
      await worker?.stop(milliseconds)
    },
  }
}
