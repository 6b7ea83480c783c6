import {
  hasManyAttached,
  hasOneAttached,
  type HasManyAttached,
  type HasOneAttached,
} from '../../attached/definitions.ts'
import type { AttachedByName } from '../../attached/record.ts'
import type { Database } from '../../database/database.ts'
import type { RecordIdType } from '../../database/store.ts'
import type { ActiveStorage } from '../../storage/active-storage.ts'

/** The attachments of the suite's records. */
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
export type OrmModels = typeof ormModels
type ModelName = keyof OrmModels & string

/** What the suite hands over for a record's attachments. */
export type OrmFiles = Readonly<Record<string, unknown>>

/** A record that the suite saves, and saves again. */
export interface OrmUnsavedRecord<Tx> {
  /** Its id. Without `tx`, in a transaction of its own, and it resolves when the files are attached. What is saved already changes nothing. */
  save(tx?: Tx): Promise<string>
}

/** An app with an ORM, as the suite drives it: each verb in the way that the ORM's users write it. */
export interface OrmApp<Tx> {
  readonly database: Database<Tx, boolean>
  /** What the ids of its records are. Default: 'bigint'. */
  readonly recordId?: RecordIdType
  /** The storage is made: bindings that need it may take it. */
  bind?(storage: ActiveStorage<OrmModels, Tx>): void
  /** A new record with its files, and its id. Without `tx`, in a transaction of its own. */
  create(model: ModelName, name: string, files: OrmFiles, tx?: Tx): Promise<string>
  /** A new record that is not saved yet, with files as by `photo = file`. */
  build(model: ModelName, name: string, files: OrmFiles): OrmUnsavedRecord<Tx>
  /** Nothing of the record changes but its files. */
  save(model: ModelName, id: string, files: OrmFiles, tx?: Tx): Promise<void>
  destroy(model: ModelName, id: string, tx?: Tx): Promise<void>
  /** The ORM's own transaction; rolled back with what `run` throws. */
  transaction<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  /** A transaction in a transaction. Left out where there are none. */
  nested?<T>(tx: Tx, run: (tx: Tx) => Promise<T>): Promise<T>
  /** The users by name, their attachments read with them: the ORM's eager loading, or `storage.records`. */
  load?(tx?: Tx): Promise<readonly AttachedByName<OrmModels['User']>[]>
  /** The names of the records that were committed. */
  names(model: ModelName): Promise<string[]>
  /** Ends what `open` began. The suite closes the storage before. */
  close(): Promise<void>
}
