import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Settings } from '../configuration/configuration.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { enqueueUpload } from '../delayed/enqueue.ts'
import { QueueMessages } from '../delayed/queue-messages.ts'

/**
 * Wakes all that wait for work: workers and progress pages of this process, workers of other
 * processes, and the app's queue.
 */
export class WakeUps {
  /** null: the app has no queue. */
  readonly messages: QueueMessages | null
  readonly #settings: Settings
  /** The channel of PostgreSQL's notifications: one for each set of tables. */
  readonly #channel: string
  readonly #listeners = new Set<() => void>()

  constructor(settings: Settings, open: () => Promise<Store>) {
    const { engine, knownAttachments, log } = settings
    this.messages =
      engine === null ? null : new QueueMessages({ engine, knownAttachments, log, open })
    this.#settings = settings
    const hash = createHash('sha256').update(settings.tables.files).digest('hex')
    this.#channel = `activestorage_delayed_${hash.slice(0, 12)}`
  }

  /** Wakes the listeners of this process. Call it after the commit that made the work. */
  readonly wake = (): void => {
    for (const listener of this.#listeners) listener()
    if (this.#settings.engine?.transactional === false) void this.messages?.sendDue()
  }

  /** Calls `listener` at each wake-up of this process. Returns a function that stops it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /**
   * Calls `listener` at submissions of any process, by PostgreSQL's notifications, and `onChange`
   * with null when it listens and with an error when it does not. Resolves to a function that stops
   * it. undefined: this database has no notifications.
   */
  listen(
    listener: () => void,
    onChange: (error: unknown) => void,
  ): Promise<() => Promise<void>> | undefined {
    return this.#settings.database.listen?.(this.#channel, listener, onChange)
  }

  /**
   * Notifies workers of uploads inside the transaction that submits them, if the queue or the database can do
   * that. It takes effect at the commit.
   */
  async notifyWorkers(session: Session, tokens: readonly string[]): Promise<void> {
    const { engine, database } = this.#settings
    if (engine?.transactional === true)
      for (const token of tokens) await enqueueUpload(session, engine, token)
    else if (engine === null && tokens.length > 0 && database.listen !== undefined)
      await sql`select pg_notify(${this.#channel}, '')`.execute(session.db)
  }

  /** Waits a few seconds at most for messages that are being sent, and sends no more. */
  async close(): Promise<void> {
    await this.messages?.close()
  }
}
