import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Settings } from '../configuration/configuration.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { enqueueDueOrLog, enqueueUpload } from '../delayed/enqueue.ts'

/**
 * Wakes all that wait for work: workers and progress pages of this process, workers of other
 * processes, and the app's queue.
 */
export class WakeUps {
  readonly #settings: Settings
  readonly #open: () => Promise<Store>
  /** The channel of PostgreSQL's notifications: one for each set of tables. */
  readonly #channel: string
  readonly #listeners = new Set<() => void>()
  readonly #enqueuing = new Set<Promise<void>>()
  #isClosed = false

  constructor(settings: Settings, open: () => Promise<Store>) {
    this.#settings = settings
    this.#open = open
    const hash = createHash('sha256').update(settings.tables.files).digest('hex')
    this.#channel = `activestorage_delayed_${hash.slice(0, 12)}`
  }

  /** Wakes the listeners of this process. Call it after the commit that made the work. */
  readonly wake = (): void => {
    for (const listener of this.#listeners) listener()
    const { engine, knownAttachments, log } = this.#settings
    if (this.#isClosed || engine === null || engine.transactional) return
    const enqueued = this.#open()
      .then((store) => enqueueDueOrLog({ store, knownAttachments, log }, engine))
      .catch((error: unknown) =>
        log('warn', 'The database could not be opened to look for due uploads.', { error }),
      )
      .finally(() => this.#enqueuing.delete(enqueued))
    this.#enqueuing.add(enqueued)
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
   * Announces uploads inside the transaction that submits them, if the queue or the database can do
   * that. It takes effect at the commit.
   */
  async announce(session: Session, tokens: readonly string[]): Promise<void> {
    const { engine, database } = this.#settings
    if (engine?.transactional === true)
      for (const token of tokens) await enqueueUpload(session, engine, token)
    else if (engine === null && tokens.length > 0 && database.listen !== undefined)
      await sql`select pg_notify(${this.#channel}, '')`.execute(session.db)
  }

  /** Enqueues nothing more, and waits for messages that are being enqueued. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#enqueuing)
  }
}
