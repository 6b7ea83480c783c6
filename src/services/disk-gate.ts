import { isMainThread } from 'node:worker_threads'
import { ServiceUnavailableError } from '../errors/errors.ts'

/** Through which every call of one disk service to the file system goes. */
export interface DiskGate {
  /** Runs it in its turn. `signal` is of whoever waits for it. Throws ServiceUnavailableError while the disk hangs. */
  run<T>(operation: () => Promise<T>, signal?: AbortSignal): Promise<T>
  /** What has to be done in any case, as closing a file: it is never refused, and waits as long as the disk hangs. */
  cleanUp<T>(operation: () => Promise<T>): Promise<T>
}

/** A call holds a thread of the process, of which Node has four for all it does; one that hangs never gives it back. */
const MAX_CALLS = 2
/** Milliseconds. What goes on for longer after nobody waits for it any more counts as hanging; closing a file may take longer. */
const HANGING_AFTER_MS = 1_000
const CLEANUP_HANGING_AFTER_MS = 10_000

/** Lets two calls at a time to a disk. While both hang, all others are refused at once instead of waiting with them. */
export function createDiskGate(folder: string): DiskGate {
  const waiting = new Set<{ begin(): void; refuse(): void }>()
  let busy = 0
  const hanging = new Set<object>()
  const refusal = (): ServiceUnavailableError =>
    new ServiceUnavailableError(
      `The disk of ${folder} hangs: ${MAX_CALLS} calls to it do not return. Look at its mount.`,
    )

  const turn = (signal: AbortSignal | undefined, isPatient: boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        waiting.delete(place)
        signal?.removeEventListener('abort', abort)
      }
      const abort = (): void => {
        leave()
        reject(signal?.reason as Error)
      }
      const place = {
        begin: () => {
          leave()
          resolve()
        },
        refuse: () => {
          if (isPatient) return
          leave()
          reject(refusal())
        },
      }
      waiting.add(place)
      signal?.addEventListener('abort', abort, { once: true })
    })
  const next = (): void => {
    const [first] = waiting
    if (first === undefined) busy -= 1
    else first.begin()
  }
  const inTurn = async <T>(
    operation: () => Promise<T>,
    signal: AbortSignal | undefined,
    isPatient: boolean,
  ): Promise<T> => {
    if (busy === MAX_CALLS) await turn(signal, isPatient)
    else busy += 1
    const place = {}
    let patience: NodeJS.Timeout | undefined
    const abandon = (): void => {
      unreturnedCalls.add(place)
      exitDespiteHangingCalls()
      patience = setTimeout(
        () => {
          hanging.add(place)
          if (hanging.size === MAX_CALLS) for (const other of waiting) other.refuse()
        },
        isPatient ? CLEANUP_HANGING_AFTER_MS : HANGING_AFTER_MS,
      )
      patience.unref()
    }
    if (isPatient) abandon()
    signal?.addEventListener('abort', abandon, { once: true })
    try {
      return await operation()
    } finally {
      signal?.removeEventListener('abort', abandon)
      clearTimeout(patience)
      hanging.delete(place)
      unreturnedCalls.delete(place)
      next()
    }
  }
  return {
    async run(operation, signal) {
      signal?.throwIfAborted()
      if (hanging.size === MAX_CALLS) throw refusal()
      return inTurn(operation, signal, false)
    },
    cleanUp: (operation) => inTurn(operation, undefined, true),
  }
}

/** Calls of this process that nobody waits for any more, and that have not returned. */
const unreturnedCalls = new Set<object>()
let isExitHandled = false

/** A process that ends waits for its threads, also for those that never return: `process.exit` would hang as well. */
function exitDespiteHangingCalls(): void {
  if (isExitHandled || !isMainThread) return
  isExitHandled = true
  process.on('exit', (code) => {
    if (unreturnedCalls.size === 0) return
    // What takes the process's place has no such threads, and ends with its code.
    if (process.platform !== 'win32')
      process.execve?.('/bin/sh', ['sh', '-c', `exit ${Number(code)}`], {})
    process.kill(process.pid, 'SIGKILL')
  })
}
