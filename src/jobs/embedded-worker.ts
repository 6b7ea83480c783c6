import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import type { WorkSource, Task } from './work-source.ts'

export interface WorkOptions {
  readonly sources: readonly WorkSource[]
  readonly concurrency: number
  /** Ends early when the signal aborts: what is left is the next one's. */
  sweep(stopping?: AbortSignal): Promise<unknown>
  onError(message: string, error: unknown): void
}

/** What `storage.work()` starts. */
export interface EmbeddedWorker extends AsyncDisposable {
  /** Takes no more work, waits for what runs, then gives back what is left. Default timeout 25 s. */
  stop(options?: { readonly timeout?: number }): Promise<void>
  readonly done: Promise<void>
}

export interface WakeSource {
  /** Called with a function to call whenever there may be work. Returns how to stop. */
  subscribe(wake: () => void): () => void
}

const SWEEP_INTERVAL_MS = 60_000
/** Every which look begins with the last source. */
const REVERSE_EVERY = 8
const DEFAULT_STOP_TIMEOUT_MS = 25_000

/** The embedded engine: claims from the tables, any number of processes at once. Hints only make it look sooner. */
export function startWorker(
  options: WorkOptions & { readonly wakes: WakeSource; pollEvery(): number },
): EmbeddedWorker {
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  let stopped = false
  let wake: () => void = () => {}
  let woken = false

  const unsubscribe = options.wakes.subscribe(() => {
    woken = true
    wake()
  })

  const pause = async (milliseconds: number): Promise<void> => {
    if (woken || stopped) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    wake = () => {}
  }

  const start = (task: Task): void => {
    const promise: Promise<void> = task
      .run(stopping.signal)
      .catch((error: unknown) =>
        options.onError('A task failed in an unforeseen way; its lease will end.', error),
      )
      .finally(() => {
        running.delete(promise)
        woken = true
        wake()
      })
    running.add(promise)
  }

  // Beside the work: it may have gigabytes to delete.
  const sweepNoMore = new AbortController()
  let sweptAt = -Infinity
  let sweeping: Promise<unknown> | undefined
  const sweep = (): void => {
    if (sweeping !== undefined || performance.now() - sweptAt <= SWEEP_INTERVAL_MS) return
    sweptAt = performance.now()
    sweeping = options
      .sweep(sweepNoMore.signal)
      .catch((error: unknown) =>
        options.onError('The sweep failed; the next one makes up for it.', error),
      )
      .finally(() => {
        sweeping = undefined
        woken = true
        wake()
      })
  }

  const loop = async (): Promise<void> => {
    let turn = 0
    let backOff = 0
    while (!stopped) {
      woken = false
      try {
        sweep()
        let claimed = 0
        turn += 1
        // Now and then the other way round: a backlog of the first must not starve the last.
        for (const source of turn % REVERSE_EVERY === 0
          ? options.sources.toReversed()
          : options.sources) {
          const room = options.concurrency - running.size
          if (room < 1 || stopped) break
          const tasks = await source.claim(room)
          claimed += tasks.length
          for (const task of tasks) start(task)
        }
        backOff = 0
        if (claimed > 0 && running.size < options.concurrency) continue
        await pause(options.pollEvery())
      } catch (error) {
        options.onError('The worker could not reach its database; it tries again.', error)
        backOff = Math.min(Math.max(backOff * 2, 250), 10_000)
        woken = false
        await pause(backOff)
      }
    }
  }

  const done = loop()
    .then(async () => {
      await sweeping
    })
    .finally(unsubscribe)
  const stop = async ({
    timeout = DEFAULT_STOP_TIMEOUT_MS,
  }: { readonly timeout?: number } = {}): Promise<void> => {
    stopped = true
    sweepNoMore.abort()
    wake()
    const timer = setTimeout(() => stopping.abort(new Error('The worker is stopping.')), timeout)
    const ended = async (): Promise<void> => {
      await done
      while (running.size > 0) await Promise.all(running)
    }
    await waitWithGrace(ended(), timeout, running, options.onError)
    clearTimeout(timer)
  }
  return { stop, done, [Symbol.asyncDispose]: () => stop() }
}

/** What is told to give itself back in so many milliseconds, and does not, is not waited for for ever. */
async function waitWithGrace(
  ended: Promise<unknown>,
  milliseconds: number,
  running: ReadonlySet<unknown>,
  onError: WorkOptions['onError'],
): Promise<void> {
  if (!(await endsWithin(ended, milliseconds + STOP_GRACE_MS)))
    onError(
      'What does not end is not waited for any longer.',
      new Error(
        `${running.size} pieces of work still run, as a hook that never returns. Their leases end by themselves.`,
      ),
    )
}

/** Does what is due, then returns; `until` ends it early. Throws the first error that no task wrote down, after the rest. */
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
    const before = ended
    for (const source of options.sources) {
      const room = options.concurrency - running.size
      if (room < 1 || until.aborted) break
      for (const task of await source.claim(room).catch((error: unknown) => (fail(error), []))) {
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
    // What ended meanwhile has left room, and may have left work.
    if (!until.aborted && (claimed > 0 || ended > before) && running.size < options.concurrency)
      continue
    if (running.size > 0) await Promise.race(running)
    else break
  }
  await Promise.all(running)
  if (errors.length === 0) await options.sweep(until)
}
