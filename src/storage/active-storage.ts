import type { Attachable } from '../attached/attachable.ts'
import type { Blobs } from '../attached/blobs.ts'
import type { DelayedUploads } from '../attached/delayed-uploads.ts'
import type { Models } from '../attached/definitions.ts'
import type { ReconcileResult, ReconcileOptions } from '../attached/reconcile.ts'
import type { RecordAttachments } from '../attached/record.ts'
import type { StagedFile } from '../attached/staged-file.ts'
import type { DrainOptions, DrainResult } from '../background/drain.ts'
import type { Worker, WorkerOptions } from '../background/worker.ts'
import type { ParseForm } from '../http/forms/parse-form.ts'
import type { StorageStatus } from './status.ts'

/**
 * A record's id: a whole number, or text where `recordId` is 'uuid' or 'text'. Pass numbers above
 * 2^53 as bigint or text.
 */
export type Id = bigint | number | string

/** The open transaction in which to act. Default: none; every call then commits by itself. */
export interface TransactionOption<Tx> {
  /** The app's transaction object. `attachLater` in it is committed with the app's own rows. */
  readonly transaction?: Tx
}

/** All attachments by model and name, such as 'User.photo'. */
type ModelAttachment<M extends Models> = {
  [N in keyof M & string]: `${N}.${keyof M[N] & string}`
}[keyof M & string]

/**
 * The attachments of an app's models, and their storage. `Tx` is the transaction object of its
 * database.
 */
export interface ActiveStorage<M extends Models, Tx> extends AsyncDisposable {
  /**
   * Creates the tables, or adds what is missing. Many processes may call it, also beside Rails' own
   * migrations.
   */
  migrate(): Promise<void>
  /**
   * Runs a transaction: the ORM's if one is bound, else the library's own. Commits when `run`
   * resolves. Rolls back when it rejects, and rejects with the same error. Never runs `run` twice.
   */
  transaction<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * Returns the attachments of a record. Reads nothing yet. Throws InvalidInputError for a missing
   * id, such as that of a record that is not saved.
   */
  record<N extends keyof M & string>(
    model: N,
    id: Id,
    options?: TransactionOption<Tx>,
  ): RecordAttachments<M[N]>
  /**
   * Reads the attachments of many records, in the order of `ids`: all attached and pending files in
   * two statements.
   */
  records<N extends keyof M & string>(
    model: N,
    ids: readonly Id[],
    options?: TransactionOption<Tx>,
  ): Promise<RecordAttachments<M[N]>[]>
  /**
   * Stages a file: stores its bytes in the database until they are submitted. `for` applies that
   * attachment's limits.
   *
   * @example
   * const staged = await storage.stage(file, { for: 'User.photo' })
   * await storage.record('User', 1).photo.attachLater(staged)
   */
  stage(
    file: Attachable,
    options?: { readonly signal?: AbortSignal; readonly for?: ModelAttachment<M> },
  ): Promise<StagedFile>
  /**
   * Reads a form while it arrives: each file is staged within its attachment's limits; the other
   * fields are values. A form that is refused or breaks off leaves nothing. Takes a web Request or
   * Node's own, whose body no other parser has read. Throws the errors of `stage`, and
   * FormLimitError.
   *
   * @example
   * async function update(request: Request): Promise<void> {
   *   const { values, files } = await storage.parseForm(request, { model: 'User' })
   *   await storage.record('User', String(values['id'])).attachLater(files)
   * }
   */
  readonly parseForm: ParseForm<M>
  /**
   * Handles requests below `basePath`: files, direct uploads, staging, progress. Adapters for Node,
   * Express, Fastify, Hono and Nest are subpaths; frameworks that use the web's Request take it as
   * it is. Never rejects.
   */
  readonly handler: (request: Request) => Promise<Response>
  /** The path at which to mount the handler; without a slash at its end. */
  readonly basePath: string
  /**
   * Returns the path at which a page announces files that the browser uploads to the service,
   * within the attachment's limits.
   */
  directUploadPath(attachment: ModelAttachment<M>): string
  /**
   * Returns the path to which a page sends a file before its form is submitted, within the
   * attachment's limits.
   */
  stagedUploadPath(attachment: ModelAttachment<M>): string
  /** Pending, running and failed uploads. */
  readonly delayedUploads: DelayedUploads<keyof M & string>
  /** Stored files, attached or not. */
  readonly blobs: Blobs
  /**
   * Starts a worker, which runs until it is stopped. Without one, nothing runs in the background.
   * Throws ConfigurationError.
   */
  work(options?: WorkerOptions): Worker
  /**
   * Runs all work that is due, then resolves; for cron, serverless and tests. Counts failures, and
   * throws them only if asked.
   */
  drain(options?: DrainOptions): Promise<DrainResult>
  /** Repairs what crashes left behind. Workers do it every minute. */
  sweep(): Promise<void>
  /**
   * Finds records that were deleted without their hooks (in bulk, by SQL, by a cascade), and purges
   * their files, as `purgeAllLater` does. It looks records up by the ORM's binding or by
   * `findRecord`, which must not hide records or read a replica that lags. Call it by hand, with
   * `dryRun` first. Leaves other apps' models alone. Throws ConfigurationError, before anything is
   * removed, for a model whose records cannot be looked up.
   */
  reconcile(options?: ReconcileOptions): Promise<ReconcileResult>
  /**
   * Reads the state of the storage for operators: which uploads wait, which failed and why, which
   * workers are alive, which jobs are due. `activestorage-delayed status` prints it.
   *
   * @example
   * const { uploads, outages } = await storage.status()
   * if (uploads.workersAlive === 0) console.error('No worker is alive: nothing is uploaded.')
   * for (const { service, since } of outages) console.error(service, 'is unavailable since', since)
   */
  status(): Promise<StorageStatus>
  /**
   * Stops this storage's workers and closes the connections that it opened itself. Every later call
   * is refused.
   */
  close(): Promise<void>
}
