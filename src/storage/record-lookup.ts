import type { Settings } from '../configuration/configuration.ts'
import type { RecordSource } from '../database/database.ts'

/**
 * Finds records: with the app's `findRecord`, else by the ORM's class that has the model's
 * attachments.
 */
export class RecordLookup {
  readonly #settings: Settings

  constructor(settings: Settings) {
    this.#settings = settings
  }

  /** Finds the ORM's records of a model. null: no ORM class has its attachments. */
  source(type: string): RecordSource | null {
    const { database, givenModels } = this.#settings
    return database.findRecordSource?.(givenModels[type] ?? {}) ?? null
  }

  /** Throws ConfigurationError if two ORM classes share one attachments object. */
  checkSources(): void {
    for (const type of Object.keys(this.#settings.givenModels)) this.source(type)
  }

  /** Returns whether the records of a model can be looked up, so that a missing one is noticed. */
  canFind(type: string): boolean {
    return this.#settings.finders.has(type) || this.source(type) !== null
  }

  /**
   * Finds a record. null: there is none. Returns `{ type, id }` if the model's records cannot be
   * looked up.
   */
  async find(type: string, id: string): Promise<unknown> {
    const finder = this.#settings.finders.get(type)
    if (finder !== undefined) return (await finder(id)) ?? null
    return this.source(type)?.find(id) ?? { type, id }
  }

  /**
   * Sets the time of the record's last change, if the ORM has a column for it. A failure is only
   * logged.
   */
  async touch(type: string, id: string): Promise<void> {
    try {
      await this.source(type)?.touch?.(id)
    } catch (error) {
      this.#settings.log('warn', `${type} ${id} could not be touched.`, {
        record: { type, id },
        error,
      })
    }
  }
}
