import { isMainThread } from 'node:worker_threads'
import { ServiceUnavailableError } from '../errors.ts'

/** Through which every call of one disk service to the file system goes. */
export interface DiskGate {
  /** Runs it in its turn. `signal` is of whoever waits for it. Throws ServiceUnavailableError while the disk hangs. */
  run<T>(operation: () => Promise<T>, signal?: AbortSignal): Promise<T>
  /** What has to be done in any case, as closing a file: it is never refused, and waits as long as the disk hangs. */
  tidy<T>(operation: () => Promise<T>): Promise<T>
}

/** A call holds a thread of the process, of which Node has four for all it does; one that hangs never gives it back. */
const AT_ONCE = 2
/** Milliseconds. What goes on for longer after nobody waits for it any more counts as hanging; closing a file may take longer. */
const PATIENCE = 1_000
const TIDY_PATIENCE = 10_000

/** Lets two calls at a time to a disk. While both hang, all others are refused at once instead of waiting with them. */
export function diskGate(folder: string): DiskGate {
  const waiting = new Set<{ begin(): void; refuse(): void }>()
  let busy = 0
  const hanging = new Set<object>()
  const refusal = (): ServiceUnavailableError =>
    new ServiceUnavailableError(
      `The disk of ${folder} hangs: ${AT_ONCE} calls to it do not return. Look at its mount.`,
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
    if (busy === AT_ONCE) await turn(signal, isPatient)
    else busy += 1
    const place = {}
    let patience: NodeJS.Timeout | undefined
    const abandon = (): void => {
      abandoned.add(place)
      endInSpiteOfThem()
      patience = setTimeout(
        () => {
          hanging.add(place)
          if (hanging.size === AT_ONCE) for (const other of waiting) other.refuse()
        },
        isPatient ? TIDY_PATIENCE : PATIENCE,
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
      abandoned.delete(place)
      next()
    }
  }
  return {
    async run(operation, signal) {
      signal?.throwIfAborted()
      if (hanging.size === AT_ONCE) throw refusal()
      return inTurn(operation, signal, false)
    },
    tidy: (operation) => inTurn(operation, undefined, true),
  }
}

/** Calls of this process that nobody waits for any more, and that have not returned. */
const abandoned = new Set<object>()
let isPrepared = false

/** A process that ends waits for its threads, also for those that never return: `process.exit` would hang as well. */
function endInSpiteOfThem(): void {
  if (isPrepared || !isMainThread) return
  isPrepared = true
  process.on('exit', (code) => {
    if (abandoned.size === 0) return
    // What takes the process's place has no such threads, and ends with its code.
    if (process.platform !== 'win32')
      process.execve?.('/bin/sh', ['sh', '-c', `exit ${Number(code)}`], {})
    process.kill(process.pid, 'SIGKILL')
  })
}
