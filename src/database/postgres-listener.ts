import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { ServiceError } from '../errors/errors.ts'

const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 10_000

/**
 * Callbacks of a listener: `wake` at each notification; `changed` with null when it listens, and
 * with the error when the connection is lost.
 */
export interface ListenerCallbacks {
  readonly wake: () => void
  readonly changed: (error: unknown) => void
}

/**
 * A listener on a connection of its own, which is opened again when it ends. It calls `wake` after
 * each opening, because a notification may have been missed meanwhile.
 */
export class PostgresListener {
  readonly #config: pg.ClientConfig
  readonly #channel: string
  readonly #callbacks: ListenerCallbacks
  readonly #stopping = new AbortController()
  readonly #finished: Promise<void>
  #client: pg.Client | undefined
  /** true: `changed` was called with an error, and not with null since. */
  #isDown = false
  #wait = FIRST_WAIT_MS

  constructor(config: pg.ClientConfig, channel: string, callbacks: ListenerCallbacks) {
    this.#config = config
    this.#channel = channel
    this.#callbacks = callbacks
    this.#finished = this.#run()
  }

  /** Ends the connection. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#client?.end().catch(() => undefined)
    await this.#finished
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const client = new pg.Client(this.#config)
      this.#client = client
      try {
        await this.#listen(client)
      } catch (error) {
        this.#reportDown(error)
      }
      await client.end().catch(() => undefined)
      await delay(this.#wait, undefined, { signal }).catch(() => undefined)
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS)
    }
  }

  /** Returns when the connection has ended. */
  async #listen(client: pg.Client): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      client.on('error', (error) => {
        this.#reportDown(error)
        resolve()
      })
      client.on('end', () => resolve())
    })
    await client.connect()
    client.on('notification', this.#callbacks.wake)
    await client.query(`listen "${this.#channel}"`)
    this.#wait = FIRST_WAIT_MS
    this.#isDown = false
    this.#callbacks.changed(null)
    this.#callbacks.wake()
    await ended
    this.#reportDown(
      new ServiceError(
        'The connection that listened for notifications has ended. It is opened again by itself.',
      ),
    )
  }

  /** Reports an error once for each time that the connection is lost, and not while it stops. */
  #reportDown(error: unknown): void {
    if (!this.#isDown && !this.#stopping.signal.aborted) this.#callbacks.changed(error)
    this.#isDown = true
  }
}
