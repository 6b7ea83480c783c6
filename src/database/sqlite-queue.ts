import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { ConfigurationError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'

/** Queue of the library's work on one handle or file of SQLite, which has one writer. */
export interface HandleQueue {
  /**
   * Runs `run` after all that was queued before. Throws ConfigurationError inside `runInside`,
   * where it would wait for itself.
   */
  run<T>(run: () => Promise<T>): Promise<T>
  /** Runs the body of a transaction. It must be called within `run`. */
  runInside<T>(run: () => Promise<T>): Promise<T>
  /** Returns whether the call is made from the body of a transaction that is still open. */
  isInside(): boolean
}

const handleQueues = new WeakMap<object, HandleQueue>()

/** Returns the queue of `key`, which is a handle, or an object that stands for a file. */
export function getHandleQueue(key: object): HandleQueue {
  const found = handleQueues.get(key) ?? createHandleQueue()
  handleQueues.set(key, found)
  return found
}

function createHandleQueue(): HandleQueue {
  const inside = new AsyncLocalStorage<{ isOpen: boolean }>()
  let tail: Promise<void> = Promise.resolve()
  const isInside = (): boolean => inside.getStore()?.isOpen === true
  return {
    isInside,
    async run(run) {
      if (isInside())
        throw new ConfigurationError(
          'This call would wait for the transaction that it is made in. Pass { transaction: tx } to storage.record() inside storage.transaction().',
        )
      const before = tail
      const { promise, resolve: release } = Promise.withResolvers<void>()
      tail = promise
      await before
      try {
        return await run()
      } finally {
        release()
      }
    },
    async runInside(run) {
      const mine = { isOpen: true }
      try {
        return await inside.run(mine, run)
      } finally {
        // Work that the body started and did not wait for is outside of the transaction from now
        // on.
        mine.isOpen = false
      }
    },
  }
}

/** Returns whether an error says that another connection or process is writing. */
export function isBusy(error: unknown): boolean {
  return /database (table )?is locked|SQLITE_BUSY/.test(
    `${messageOf(error)} ${String((error as { code?: unknown } | null)?.code)}`,
  )
}

/** Waits 2 to 10 ms for a busy file; at random, so that two do not retry in step. */
export const waitBriefly = (): Promise<void> => delay(2 + Math.random() * 8)
