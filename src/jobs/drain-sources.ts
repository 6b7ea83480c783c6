import { waitWithGrace, type WorkOptions } from './embedded-worker.ts'

/**
 * Runs all work that is due, then resolves. The signal ends it early. Rejects with the first error
 * that no task could store, after the rest has ended.
 */
export async function drainSources(options: WorkOptions, signal: AbortSignal): Promise<void> {
  const tasks = new Set<Promise<void>>()
  const errors: unknown[] = []
  const end = drainAll(options, signal, tasks, errors)
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
  await Promise.race([end, aborted.then(() => waitWithGrace(end, 0, tasks, options.onError))])
  if (errors.length > 0) throw errors[0]
}

async function drainAll(
  options: WorkOptions,
  signal: AbortSignal,
  tasks: Set<Promise<void>>,
  errors: unknown[],
): Promise<void> {
  await options.sweep(signal)
  const fail = (error: unknown): void => void errors.push(error)
  let ended = 0
  while (errors.length === 0) {
    let claimed = 0
    const endedBefore = ended
    for (const source of options.sources) {
      const capacity = options.concurrency - tasks.size
      if (capacity < 1 || signal.aborted) break
      const found = await source.claim(capacity).catch((error: unknown) => (fail(error), []))
      for (const task of found) {
        claimed += 1
        const promise: Promise<void> = task
          .run(signal)
          .catch(fail)
          .finally(() => {
            tasks.delete(promise)
            ended += 1
          })
        tasks.add(promise)
      }
    }
    // A task that ended meanwhile has freed capacity, and other work may be due because of it.
    const hasProgress = claimed > 0 || ended > endedBefore
    if (!signal.aborted && hasProgress && tasks.size < options.concurrency) continue
    if (tasks.size > 0) await Promise.race(tasks)
    else break
  }
  await Promise.all(tasks)
  if (errors.length === 0) await options.sweep(signal)
}
