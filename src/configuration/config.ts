import type { Authorize } from '../attached/context.ts'
import type { Models } from '../attached/definitions.ts'
import type { Database } from '../database/database.ts'
import type { TableOptions } from '../database/schema.ts'
import type { RecordIdType } from '../database/store.ts'
import type { DirectAttachOptions } from '../delayed/direct-attach-options.ts'
import type { AfterRefusalOptions } from '../http/after-refusal.ts'
import type { ImageProcessor } from '../images/image-processor.ts'
import type { JobEngine } from '../jobs/engine.ts'
import type { Duration, Size } from '../options/units.ts'
import type { Service } from '../services/service.ts'
import type { ServiceTimeouts } from '../services/timeouts.ts'
import type { FindRecordOption } from './find-record.ts'
import type { Logger } from './logger.ts'

/**
 * Options of `createActiveStorage`. It takes `findRecord` too, which is required where hooks read
 * more of a record than `{ type, id }`.
 */
export interface ActiveStorageConfig<
  M extends Models,
  S extends string,
  Tx,
  Finds extends boolean,
> {
  /** `sqlite(…)`, `postgres(…)` or `mysql(…)`, or an ORM's binding. */
  readonly database: Database<Tx, Finds>
  /** The services, by the name that is stored with each blob (`service_name`). */
  readonly services: Readonly<Record<S, Service>>
  /** The service that new files go to. Optional where there is only one. */
  readonly service?: NoInfer<S>
  /** The attachments of each model, by the name that `record_type` holds: Rails' class names. */
  readonly models: M
  /**
   * Signs ids. Default: process.env.SECRET_KEY_BASE, read on first use. [current, ...previous]
   * rotates it.
   */
  readonly secretKeyBase?: string | readonly [current: string, ...previous: string[]] | undefined
  /** A queue of the app's own. Default: the embedded engine, which needs none. */
  readonly jobs?: JobEngine
  /** Reads and transforms images. Needed for variantInfo. */
  readonly images?: ImageProcessor
  /** The type of all records' ids. Default 'bigint'. */
  readonly recordId?: RecordIdType
  /** Limits of staged files. */
  readonly staging?: {
    /** Time after which a staged file expires unless it is submitted. Default '24h'. */
    readonly expiresIn?: Duration
    /** The limit of attachments without a `maxSize` of their own. Default: no limit. */
    readonly maxSize?: Size
    /** The limit of attachments without a `maxFiles` of their own. Default: no limit. */
    readonly maxFiles?: number
  }
  /**
   * Retries of a failed upload. Default: 10 attempts, with delays that double from 5 s to 1 h, 25 %
   * more or less. No attempt is counted while a service is unavailable: it is tried every 5 min at
   * most, for the time `for`. Default '3d'.
   */
  readonly retries?: {
    readonly attempts?: number
    readonly minDelay?: Duration
    readonly maxDelay?: Duration
    readonly for?: Duration
  }
  /**
   * Time limits of calls to services. A call that takes longer rejects with
   * ServiceUnavailableError; uploads are retried.
   */
  readonly serviceTimeouts?: ServiceTimeouts
  /**
   * Time that a save with `photo = file` waits until the file is attached, and what the save does
   * when that time is over.
   */
  readonly direct?: DirectAttachOptions
  /**
   * Default: the console, for warnings and errors. winston fits; pino needs its two arguments
   * swapped. false: silent.
   */
  readonly logger?: Logger | false
  /** Time for which the bytes of failed uploads are kept. Default: for ever. */
  readonly failed?: { readonly keepFor?: Duration }
  /**
   * Rows that the Ruby gem wrote are moved when they are older than this. Default '10m': stop
   * Rails' job first.
   */
  readonly gem?: { readonly moveAfter?: Duration }
  /** Names of the library's own tables. */
  readonly tables?: TableOptions
  /** The path at which the app mounts `handler`. Default '/rails/active_storage', as in Rails. */
  readonly basePath?: `/${string}`
  /**
   * Called before `handler` responds to a request; false responds 403. Default: anyone with a
   * signed id may use it, as in Rails. For a blob that is attached in several places it is called
   * for each place until one call returns true.
   */
  readonly authorize?: Authorize
  /**
   * Limits of a refused request's body that is read before the connection is closed, so that the
   * response reaches a client that still sends.
   */
  readonly afterRefusal?: AfterRefusalOptions
  /** Form of new signed ids; all forms are read. Default: the form of Rails 8. */
  readonly rails?: {
    readonly keyDigest?: 'SHA1' | 'SHA256'
    readonly envelope?: 'marshal' | 'json'
  }
}

/** All options of `createActiveStorage`. */
export type ConfigWithFinders<
  M extends Models,
  S extends string,
  Tx,
  Finds extends boolean,
> = ActiveStorageConfig<M, S, Tx, Finds> & FindRecordOption<M, Finds>

/** The options without the types of one app. */
export type AnyConfig = ActiveStorageConfig<Models, string, unknown, boolean> & {
  readonly findRecord?: object
}
