import {
  hasManyAttached,
  hasOneAttached,
  type HasManyAttached,
  type HasOneAttached,
} from '../../attached/definitions.ts'
import type { AttachedByName } from '../../attached/record.ts'
import type { Database } from '../../database/database.ts'
import type { RecordIdType } from '../../database/store.ts'
import type { MemoryService } from '../../services/memory.ts'
import type { ActiveStorage } from '../../storage/active-storage.ts'
import type { FaultyService } from '../faulty.ts'

/** Attachments of the suite's records. */
export const ormModels: {
  readonly User: {
    readonly photo: HasOneAttached<unknown>
    readonly certificates: HasManyAttached<unknown>
  }
  readonly Member: { readonly badge: HasOneAttached<unknown> }
} = {
  /** A table `users`: `id`, `name`. */
  User: {
    photo: hasOneAttached({ maxSize: '1 MB' }),
    certificates: hasManyAttached({ maxFiles: 5 }),
  },
  /** A table `members`: `id`, `name`. */
  Member: { badge: hasOneAttached({ required: true }) },
}
/** Models of the suite. */
export type OrmModels = typeof ormModels
type ModelName = keyof OrmModels & string

/** Files of a record by the attachment's name, as an app gives them. */
export type OrmFiles = Readonly<Record<string, unknown>>

/** A record that the suite saves, perhaps several times. */
export interface OrmUnsavedRecord<Tx> {
  /**
   * Saves the record and returns its id. Without `tx` it opens a transaction of its own, and
   * resolves when the files are attached. A record that is saved already does not change.
   */
  save(tx?: Tx): Promise<string>
}

/** An app with an ORM, as the suite drives it. Write each method as users of the ORM would. */
export interface OrmApp<Tx> {
  readonly database: Database<Tx, boolean>
  /** Type of the records' ids. Default: 'bigint'. */
  readonly recordId?: RecordIdType
  /** Called with the storage once it is created, for bindings that need it. */
  bind?(storage: ActiveStorage<OrmModels, Tx>): void
  /**
   * Creates a record with its files and returns its id. Without `tx` it opens a transaction of its
   * own.
   */
  create(model: ModelName, name: string, files: OrmFiles, tx?: Tx): Promise<string>
  /** Builds a record, not saved yet, with files as by `photo = file`. */
  build(model: ModelName, name: string, files: OrmFiles): OrmUnsavedRecord<Tx>
  /** Saves a record in which nothing changes but its files. */
  save(model: ModelName, id: string, files: OrmFiles, tx?: Tx): Promise<void>
  /** Destroys a record. */
  destroy(model: ModelName, id: string, tx?: Tx): Promise<void>
  /** Runs `run` in the ORM's own transaction, which rolls back if it throws. */
  transaction<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  /** Runs `run` in a transaction nested in `tx`. Leave it out if the ORM has none. */
  nested?<T>(tx: Tx, run: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * Loads the users by name with their attachments: by the ORM's eager loading, or
   * `storage.records`.
   */
  load?(tx?: Tx): Promise<readonly AttachedByName<OrmModels['User']>[]>
  /** Reads the names of the committed records. */
  names(model: ModelName): Promise<string[]>
  /** Ends what `open` started. The suite closes the storage before. */
  close(): Promise<void>
}

/** A storage on an app of the suite, as each behaviour gets it. */
export interface OpenedOrmApp<Tx> {
  readonly app: OrmApp<Tx>
  readonly storage: ActiveStorage<OrmModels, Tx>
  readonly service: FaultyService & Pick<MemoryService, 'objects'>
  /** Returns the number of the library's own statements so far. */
  statements(): number
  /** Asserts that nothing is staged, pending or failed. */
  assertNothing(): Promise<void>
}

/** Registers one behaviour of the suite as a test. */
export type OrmBehaviour<Tx> = (
  name: string,
  behaves: (opened: OpenedOrmApp<Tx>) => Promise<void>,
) => unknown
