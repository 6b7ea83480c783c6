import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import { untilAborted } from '../async/until-aborted.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { Log } from '../diagnostics/log.ts'
import type { JobEngine } from '../jobs/engine.ts'
import type { DelayedContext } from './context.ts'
import { markDueUploads, unmarkEnqueued } from './enqueue.ts'

/** Milliseconds in which the app's queue must take a message. */
const ENQUEUE_TIMEOUT_MS = 5_000
/** Uploads that are marked at once: after a crash their messages come five minutes late. */
const BATCH_SIZE = 100

/** The parts of a storage that its queue messages need. */
export interface QueueMessagesOptions {
  readonly engine: JobEngine
  readonly knownAttachments: DelayedContext['knownAttachments']
  readonly log: Log
  /** Opens the database at the first call. */
  open(): Promise<Store>
}

/**
 * The messages that one storage sends to the app's queue outside of transactions that submit. A
 * caller need not wait for the queue: failures are logged, and the next sweep repeats the messages.
 */
export class QueueMessages {
  readonly #options: QueueMessagesOptions
  readonly #sends = new Set<Promise<void>>()
  readonly #closing = new AbortController()
  /** The look for due uploads that was asked for last. */
  #lastLook: Promise<void> = Promise.resolve()
  /** The look for due uploads that has not begun. */
  #nextLook: Promise<void> | undefined
  #isClosed = false
  #isTaking = true

  constructor(options: QueueMessagesOptions) {
    this.#options = options
  }

  /** Returns whether the queue took the last message. Else workers must look for uploads. */
  get isTaking(): boolean {
    return this.#isTaking
  }

  /**
   * Sends the messages of due uploads that the queue does not know of. One look for them runs at a
   * time, and all calls meanwhile share the next one. Resolves at its end, and never rejects.
   */
  sendDue(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    this.#nextLook ??= this.#lastLook = this.#lastLook.then(() => {
      this.#nextLook = undefined
      return this.#sendAllDue().catch((error: unknown) => this.#logFailure(error))
    })
    return this.#nextLook
  }

  /** Sends a message that is to be delivered at `runAt`. Resolves at its end, never rejects. */
  sendAt(token: string, runAt: Date): Promise<void> {
    const send = this.#options
      .open()
      .then(({ session }) => this.#sendEach(session, [token], runAt))
      .catch((error: unknown) => this.#logFailure(error))
      .finally(() => this.#sends.delete(send))
    this.#sends.add(send)
    return send
  }

  /** Resolves when all messages are sent, or could not be sent, that were asked for by now. */
  async waitForSends(): Promise<void> {
    await Promise.all([this.#lastLook, ...this.#sends])
  }

  /** Looks for no more uploads, and gives up messages that the queue does not take soon. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (await endsWithin(this.waitForSends(), STOP_GRACE_MS)) return
    this.#closing.abort(new Error('The storage is closing.'))
    // What is given up is unmarked in the database.
    await endsWithin(this.waitForSends(), STOP_GRACE_MS)
  }

  async #sendAllDue(): Promise<void> {
    const { open, knownAttachments } = this.#options
    const store = await open()
    for (let mayHaveMore = true; mayHaveMore && !this.#isClosed;) {
      const marked = await markDueUploads(store, knownAttachments, BATCH_SIZE)
      await this.#sendEach(store.session, marked.tokens, null)
      mayHaveMore = marked.mayHaveMore
    }
  }

  /** Sends messages one by one. Unmarks the uploads of those that are not sent. */
  async #sendEach(session: Session, tokens: readonly string[], runAt: Date | null): Promise<void> {
    let sent = 0
    try {
      for (const token of tokens) {
        await this.#send(session, token, runAt)
        sent += 1
      }
    } finally {
      if (sent < tokens.length) await unmarkEnqueued(session, tokens.slice(sent))
    }
  }

  async #send(session: Session, token: string, runAt: Date | null): Promise<void> {
    const { engine } = this.#options
    const { signal } = this.#closing
    signal.throwIfAborted()
    let isTaking = false
    try {
      const send = engine.enqueue(
        { kind: 'upload', id: token },
        { executor: session.portableExecutor, runAt },
      )
      isTaking = await endsWithin(untilAborted(send, signal), ENQUEUE_TIMEOUT_MS)
    } finally {
      this.#isTaking = isTaking
    }
    if (!isTaking) throw new Error(`It did not respond within ${ENQUEUE_TIMEOUT_MS} ms.`)
  }

  #logFailure(error: unknown): void {
    const { log, engine } = this.#options
    log(
      'warn',
      `${engine.name} did not take the messages for due uploads; the next sweep repeats them.`,
      { error },
    )
  }
}
