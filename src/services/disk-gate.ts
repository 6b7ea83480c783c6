import { isMainThread } from 'node:worker_threads'
import { ServiceUnavailableError } from '../errors/errors.ts'

/**
 * Calls to one disk at a time. Each holds one of the four threads that Node has for all of its
 * work.
 */
const MAX_CALLS = 2
/** A call that runs for this long after its caller gave up counts as hanging. */
const HANGING_AFTER_MS = 1_000
/** Closing a file may take longer, because it flushes. */
const CLEANUP_HANGING_AFTER_MS = 10_000

/** A call that waits for a permit. */
interface WaitingCall {
  begin(): void
  /** Ends the wait with an error, unless the call must run. */
  refuse(error: Error): void
}

/**
 * Lets at most two calls at a time reach a disk. A call on a disk that hangs, such as a lost
 * network mount, never gives its thread back. While two hang, all others fail at once instead of
 * waiting with them.
 */
export class DiskGate {
  readonly #folder: string
  readonly #waiting = new Set<WaitingCall>()
  readonly #hanging = new Set<RunningCall>()
  #running = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Runs a call as soon as one of two permits is free. `signal` is the caller's. Throws the
   * signal's reason when it aborts before the call has begun, and ServiceUnavailableError while the
   * disk hangs. A call that has begun is not interrupted: Node cannot.
   */
  async run<T>(operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    if (this.#isBlocked()) throw this.#blockedError()
    if (this.#running < MAX_CALLS) this.#running += 1
    else await this.#waitForPermit({ signal, canBeRefused: true })
    const call = new RunningCall(HANGING_AFTER_MS, (hanging) => this.#noteHanging(hanging))
    const abandon = (): void => call.abandon()
    signal?.addEventListener('abort', abandon, { once: true })
    try {
      return await operation()
    } finally {
      signal?.removeEventListener('abort', abandon)
      this.#end(call)
    }
  }

  /**
   * Runs a call that must not be skipped, such as closing a file. It is never refused: it waits
   * while the disk hangs.
   */
  async cleanUp<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#running < MAX_CALLS) this.#running += 1
    else await this.#waitForPermit({ signal: undefined, canBeRefused: false })
    const call = new RunningCall(CLEANUP_HANGING_AFTER_MS, (hanging) => this.#noteHanging(hanging))
    call.abandon()
    try {
      return await operation()
    } finally {
      this.#end(call)
    }
  }

  #isBlocked(): boolean {
    return this.#hanging.size === MAX_CALLS
  }

  #blockedError(): ServiceUnavailableError {
    return new ServiceUnavailableError(
      `The disk of ${this.#folder} hangs: ${MAX_CALLS} calls to it do not return. Check its mount.`,
    )
  }

  /**
   * Settles synchronously with the call that ends it, so that no permit is given to a call that has
   * just aborted.
   */
  #waitForPermit({
    signal,
    canBeRefused,
  }: {
    readonly signal: AbortSignal | undefined
    readonly canBeRefused: boolean
  }): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = (): void => {
      this.#waiting.delete(call)
      signal?.removeEventListener('abort', abort)
    }
    const abort = (): void => {
      leave()
      reject(signal?.reason)
    }
    const call: WaitingCall = {
      begin() {
        leave()
        resolve()
      },
      refuse(error) {
        if (!canBeRefused) return
        leave()
        reject(error)
      },
    }
    this.#waiting.add(call)
    signal?.addEventListener('abort', abort, { once: true })
    return promise
  }

  #noteHanging(call: RunningCall): void {
    this.#hanging.add(call)
    if (this.#isBlocked()) for (const waiting of this.#waiting) waiting.refuse(this.#blockedError())
  }

  /** Gives the permit to the call that has waited longest. */
  #end(call: RunningCall): void {
    call.end()
    this.#hanging.delete(call)
    const [next] = this.#waiting
    if (next === undefined) this.#running -= 1
    else next.begin()
  }
}

/** A call that has begun. */
class RunningCall {
  readonly #hangingAfterMs: number
  readonly #onHanging: (call: RunningCall) => void
  #timer: NodeJS.Timeout | undefined

  constructor(hangingAfterMs: number, onHanging: (call: RunningCall) => void) {
    this.#hangingAfterMs = hangingAfterMs
    this.#onHanging = onHanging
  }

  /** Marks the call as one that its caller no longer waits for. */
  abandon(): void {
    unreturnedCalls.add(this)
    exitDespiteHangingCalls()
    this.#timer = setTimeout(() => this.#onHanging(this), this.#hangingAfterMs).unref()
  }

  end(): void {
    clearTimeout(this.#timer)
    unreturnedCalls.delete(this)
  }
}

/** Abandoned calls of this process that have not returned. */
const unreturnedCalls = new Set<RunningCall>()
let isExitHandled = false

/**
 * Ends the process although calls hang: at its end, a process waits for its threads, even for those
 * that never return, and `process.exit` would hang as well.
 */
function exitDespiteHangingCalls(): void {
  if (isExitHandled || !isMainThread) return
  isExitHandled = true
  process.on('exit', (code) => {
    if (unreturnedCalls.size === 0) return
    // The shell replaces this process, so it has none of its threads, and keeps the exit code.
    if (process.platform !== 'win32')
      process.execve?.('/bin/sh', ['sh', '-c', `exit ${Number(code)}`], {})
    process.kill(process.pid, 'SIGKILL')
  })
}
