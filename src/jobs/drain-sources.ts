import { waitWithGrace, type WorkOptions } from './embedded-worker.ts'

/**
 * Runs all work that is due, then resolves; `until` ends it early. Rejects with the first error
 * that no task could store, after the rest has ended.
 */
export async function drainSources(options: WorkOptions, until: AbortSignal): Promise<void> {
  const running = new Set<Promise<void>>()
  const errors: unknown[] = []
  const draining = drainAll(options, until, running, errors)
  const aborted = new Promise<void>((resolve) => {
    if (until.aborted) resolve()
    else until.addEventListener('abort', () => resolve(), { once: true })
  })
  await Promise.race([
    draining,
    aborted.then(() => waitWithGrace(draining, 0, running, options.onError)),
  ])
  if (errors.length > 0) throw errors[0]
}

async function drainAll(
  options: WorkOptions,
  until: AbortSignal,
  running: Set<Promise<void>>,
  errors: unknown[],
): Promise<void> {
  await options.sweep(until)
  const fail = (error: unknown): void => void errors.push(error)
  let ended = 0
  while (errors.length === 0) {
    let claimed = 0
    const endedBefore = ended
    for (const source of options.sources) {
      const capacity = options.concurrency - running.size
      if (capacity < 1 || until.aborted) break
      const tasks = await source.claim(capacity).catch((error: unknown) => (fail(error), []))
      for (const task of tasks) {
        claimed += 1
        const promise: Promise<void> = task
          .run(until)
          .catch(fail)
          .finally(() => {
            running.delete(promise)
            ended += 1
          })
        running.add(promise)
      }
    }
    // A task that ended meanwhile has freed capacity, and may have made other work due.
    const hasProgress = claimed > 0 || ended > endedBefore
    if (!until.aborted && hasProgress && running.size < options.concurrency) continue
    if (running.size > 0) await Promise.race(running)
    else break
  }
  await Promise.all(running)
  if (errors.length === 0) await options.sweep(until)
}
