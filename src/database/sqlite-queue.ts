import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { ConfigurationError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'

/** What the library does on one handle or file of SQLite, which has one writer: one after the other. */
export interface HandleQueue {
  /** Waits for the turns before it. Throws ConfigurationError inside `within`, where it would wait for itself. */
  run<T>(run: () => Promise<T>): Promise<T>
  /** Runs the inside of a transaction that has the turn. */
  runInside<T>(run: () => Promise<T>): Promise<T>
  /** Whether the call is made inside `within`. */
  isInside(): boolean
}

const handleQueues = new WeakMap<object, HandleQueue>()

/** The same ones for all that share `key`, which is a handle, or what stands for a file. */
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
        // What was started in there may go on when it is over: it is outside then.
        mine.isOpen = false
      }
    },
  }
}

/** Another connection or process writes. */
export function isBusy(error: unknown): boolean {
  return /database (table )?is locked|SQLITE_BUSY/.test(
    `${messageOf(error)} ${String((error as { code?: unknown } | null)?.code)}`,
  )
}

/** A moment, after which a busy file may be free. It differs, so that two do not try in step. */
export const waitBriefly = (): Promise<void> => delay(2 + Math.random() * 8)
