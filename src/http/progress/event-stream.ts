import { createHash } from 'node:crypto'
import { isFinishedSnapshot, type UploadSnapshot } from '../../attached/upload-snapshot.ts'
import type { ProgressHub } from './hub.ts'

/** Prefix of the id of an upload's final event. */
export const FINAL_ID_PREFIX = 'end-'

/**
 * Creates the id of an event. Equal snapshots have equal ids, so that a client which reconnects
 * gets no event twice.
 */
function createEventId(snapshot: UploadSnapshot, data: string): string {
  const hash = createHash('sha256').update(data).digest('base64url').slice(0, 16)
  return `${isFinishedSnapshot(snapshot) ? FINAL_ID_PREFIX : ''}${hash}`
}

/**
 * Streams server-sent events of one upload. Each event holds the whole state: a client that missed
 * some has missed nothing, and a slow one gets only the newest. The stream ends with the upload.
 */
export function streamEvents(
  hub: ProgressHub,
  token: string,
  lastEventId: string | null,
): ReadableStream<Uint8Array> {
  const events = new UploadEvents(hub, token, lastEventId)
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => events.start(controller),
      pull: () => events.flush(),
      cancel: () => events.stop(),
    },
    { highWaterMark: 4 },
  )
}

class UploadEvents {
  readonly #hub: ProgressHub
  readonly #token: string
  readonly #encoder = new TextEncoder()
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #unfollow: (() => void) | undefined
  /** The newest state, while the client is too slow to take it. null: the upload is gone. */
  #waiting: UploadSnapshot | null | undefined
  #lastId: string | null
  #isStopped = false

  constructor(hub: ProgressHub, token: string, lastEventId: string | null) {
    this.#hub = hub
    this.#token = token
    this.#lastId = lastEventId
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller
    this.#unfollow = this.#hub.follow(this.#token, (snapshot) => {
      this.#waiting = snapshot
      this.flush()
    })
    this.#hub.heartbeats.add(this.#beat)
    // A state that the hub already had may have ended the stream within `follow`.
    if (this.#isStopped) this.stop()
  }

  /** Sends the newest state if the client can take it. */
  flush(): void {
    if (this.#waiting === undefined || !this.#isReady()) return
    const snapshot = this.#waiting
    this.#waiting = undefined
    if (snapshot !== null) {
      const data = JSON.stringify(snapshot)
      const id = createEventId(snapshot, data)
      if (id !== this.#lastId) this.#send(`id: ${id}\ndata: ${data}\n\n`)
      this.#lastId = id
      if (!isFinishedSnapshot(snapshot)) return
    }
    this.stop()
    this.#controller?.close()
  }

  stop(): void {
    this.#isStopped = true
    this.#unfollow?.()
    this.#hub.heartbeats.delete(this.#beat)
  }

  /** A comment keeps proxies from closing a connection without traffic. */
  readonly #beat = (): void => {
    this.flush()
    if (this.#isReady()) this.#send(': \n\n')
  }

  #isReady(): boolean {
    return (this.#controller?.desiredSize ?? 0) > 0
  }

  #send(text: string): void {
    this.#controller?.enqueue(this.#encoder.encode(text))
  }
}
