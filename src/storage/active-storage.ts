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

/** A record's id: a whole number, or text where `recordId` is 'uuid' or 'text'. Numbers above 2^53 as bigint or text. */
export type Id = bigint | number | string

export interface TransactionOption<Tx> {
  readonly transaction?: Tx
}

type ModelAttachment<M extends Models> = {
  [N in keyof M & string]: `${N}.${keyof M[N] & string}`
}[keyof M & string]

/** What `createActiveStorage` returns. `Tx` is the transaction object of its database. */
export interface ActiveStorage<M extends Models, Tx> extends AsyncDisposable {
  /** Makes or completes the tables. Safe to call from many processes, and beside Rails' own migrations. */
  migrate(): Promise<void>
  /**
   * A transaction: the ORM's where it is bound, else the library's own. Commits when `run` returns, rolls back and rejects with what it
   * threw. Never runs `run` twice.
   */
  transaction<T>(run: (tx: Tx) => Promise<T>): Promise<T>
  /** The attachments of a record. Reads nothing yet. Throws InvalidInputError for an id that is none, such as that of a record which is not saved. */
  record<N extends keyof M & string>(
    model: N,
    id: Id,
    options?: TransactionOption<Tx>,
  ): RecordAttachments<M[N]>
  /** In the order of `ids`; what is attached and on its way to all of them is read at once, in two statements. */
  records<N extends keyof M & string>(
    model: N,
    ids: readonly Id[],
    options?: TransactionOption<Tx>,
  ): Promise<RecordAttachments<M[N]>[]>
  /**
   * Keeps the bytes in the database until they are submitted; `for` applies that attachment's limits.
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
   * Reads a form as it streams in: each file is staged while it arrives, within its attachment's limits, and the rest comes as
   * values. A form that is refused, or that breaks off, leaves nothing. Takes a web Request or Node's own, which no other
   * parser has read. Throws like `stage`, and FormLimitError.
   *
   * @example
   * async function update(request: Request): Promise<void> {
   *   const { values, files } = await storage.parseForm(request, { model: 'User' })
   *   await storage.record('User', String(values['id'])).attachLater(files)
   * }
   */
  readonly parseForm: ParseForm<M>
  /**
   * Answers what is below `basePath`: files, direct uploads, staging, progress. Adapters for Node, Express, Fastify, Hono
   * and Nest are subpaths; a framework of the web's own Request takes it as it is. Never rejects.
   */
  readonly handler: (request: Request) => Promise<Response>
  /** Where the handler is to be mounted; without a slash at its end. */
  readonly basePath: string
  /** Where a page's script announces files that the browser sends to the service itself, within the attachment's limits. */
  directUploadPath(slot: ModelAttachment<M>): string
  /** Where a page's script sends a file before its form is submitted, within the attachment's limits. */
  stagedUploadPath(slot: ModelAttachment<M>): string
  /** What is on its way, and what failed. */
  readonly delayedUploads: DelayedUploads<keyof M & string>
  /** Stored files, attached or not. */
  readonly blobs: Blobs
  /** Works until stopped. Throws ConfigurationError on wrong options. Nothing ever runs in the background unless this is called. */
  work(options?: WorkerOptions): Worker
  /** Does what is due, then resolves: cron, serverless, tests. Failed uploads are counted, and thrown only on request. */
  drain(options?: DrainOptions): Promise<DrainResult>
  /** What workers do every minute: puts right what crashes left behind. */
  sweep(): Promise<void>
  /**
   * Finds the records that were deleted past their hooks (in bulk, by SQL, by a cascade), and removes what they left, as
   * `purgeAllLater` does. Records are looked up by the ORM's binding or by `findRecord`: neither may hide any, nor ask a replica
   * that lags. Call it by hand, with `dryRun` first. Other apps' models are left alone. Throws ConfigurationError, before
   * anything is removed, for a model whose records cannot be looked up.
   */
  reconcile(options?: ReconcileOptions): Promise<ReconcileResult>
  /**
   * Reads what an operator asks: which uploads wait, which failed and why, which workers are alive, what else is due.
   * `activestorage-delayed status` prints it.
   *
   * @example
   * const { uploads, outages } = await storage.status()
   * if (uploads.workersAlive === 0) console.error('No worker is alive: nothing is uploaded.')
   * for (const { service, since } of outages) console.error(service, 'is unavailable since', since)
   */
  status(): Promise<StorageStatus>
  /** Stops this storage's workers and ends the connections that it opened itself. Whatever is asked of it then is refused. */
  close(): Promise<void>
}
