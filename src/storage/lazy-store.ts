import { openOnce, type OpenOnce } from '../async/open-once.ts'
import { openStore, type Store } from '../database/store.ts'
import type { Settings } from '../configuration/configuration.ts'
import { ConfigurationError } from '../errors/errors.ts'

/** The database, opened at its first use. */
export class LazyStore {
  readonly #open: OpenOnce<Store>
  #isClosed = false

  /** `check` runs when the database is open. The first use throws its error. */
  constructor({ database, tables, recordId }: Settings, check: () => void) {
    this.#open = openOnce(async () => {
      const store = await openStore(database, tables, recordId)
      check()
      return store
    })
  }

  /**
   * Opens the database once; after a failure the next use tries again. Rejects with
   * ConfigurationError when the storage is closed.
   */
  readonly open = async (): Promise<Store> => {
    if (this.#isClosed)
      throw new ConfigurationError('This storage is closed: create another to go on.')
    return this.#open()
  }

  /** Waits for an opening that is running, then refuses every use. */
  async close(): Promise<void> {
    await this.#open.opened()
    this.#isClosed = true
  }
}
