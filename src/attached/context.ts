import type { Awaitable } from '../async/awaitable.ts'
import type { Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { DelayedDefinition } from '../delayed/context.ts'
import type { AttachWaitOptions, SubmittedUpload } from '../delayed/direct-attaches.ts'
import type { Log } from '../diagnostics/log.ts'
import type { UploadRow } from '../delayed/upload-rows.ts'
import { ConfigurationError } from '../errors/errors.ts'
import type { MessageVerifier } from '../rails/message-verifier.ts'
import type { Service } from '../services/service.ts'
import type { FileLimits } from '../staging/limits.ts'
import type { AnyAttachedOptions } from './definitions.ts'
import type { RecordRef, StoredBlob } from './values.ts'

/** The options of one attachment with the defaults of the storage filled in. */
export interface AttachmentDefinition extends Omit<DelayedDefinition, 'hooks'> {
  readonly required: boolean
  readonly limits: FileLimits
  /** The app's own hooks; `adaptHooks` makes the uploader's hooks of them. */
  readonly hooks: Pick<AnyAttachedOptions, 'afterUpload' | 'afterUploadAll' | 'errorUpload'>
}

/** The configuration and the parts of one storage, for handles, values and routes. */
export interface StorageContext {
  /** Opens the database at the first call. */
  store(): Promise<Store>
  readonly services: Readonly<Record<string, Service>>
  /** Definitions by model and attachment name. */
  readonly models: ReadonlyMap<string, ReadonlyMap<string, AttachmentDefinition>>
  /** The service of files that belong to no attachment. */
  readonly defaultService: string
  /** Bytes; the limit of files that belong to no attachment. undefined: no limit. */
  readonly maxSize: number | undefined
  /** Milliseconds until a staged file expires. */
  readonly expiresIn: number
  readonly verifier: MessageVerifier
  /** Path under which the app mounts the handler, without a slash at its end. */
  readonly basePath: string
  /** undefined: a valid signed id is enough. */
  readonly authorize: Authorize | undefined
  readonly afterRefusal: AfterRefusalLimits
  readonly log: Log
  /**
   * Returns the kind of an attachment; 'many' for one that is no longer defined, because a has-many
   * removes nothing.
   */
  kindOf(lane: Lane): 'one' | 'many'
  /**
   * Looks up the app's record. Returns `{ type, id }` if the model's records cannot be looked up.
   * null or undefined: there is no such record.
   */
  findRecord(type: string, id: string): Promise<unknown>
  /** Sets the record's time of change, if an ORM has the record and a column for it. */
  touch(type: string, id: string): Promise<void>
  /**
   * Notifies workers of uploads; takes effect at the commit. The last statement of a submission.
   */
  notifyWorkers(session: Session, tokens: readonly string[]): Promise<void>
  /** Makes a worker of this process look for work at once. Call it after the commit. */
  readonly wake: () => void
  /** Reports uploads that a newer change ended. Call it after the commit. */
  logSuperseded(uploads: readonly UploadRow[]): void
  /** Uploads here what is due, or waits for the worker that has it. Throws AttachPendingError. */
  waitUntilAttached(uploads: readonly SubmittedUpload[], options?: AttachWaitOptions): Promise<void>
  /** Runs the jobs that delete the objects of purged blobs. Workers repeat those that fail. */
  deleteObjectsNow(jobKeys: readonly string[], signal?: AbortSignal): Promise<void>
}

/** The file and the action that a request asks for; what `authorize` decides on. */
export interface AuthorizeSubject {
  /** 'read': see a file or its progress; 'upload': send bytes. */
  readonly action: 'read' | 'upload'
  /** The stored file, if it is one. */
  readonly blob?: StoredBlob
  /**
   * The record that the file is attached to, or pending for. undefined: the file was never
   * submitted.
   */
  readonly record?: RecordRef
  /** The attachment's model, such as 'User'; also for an upload, which has no record yet. */
  readonly model?: string
  /** The attachment's name, such as 'photo'. */
  readonly name?: string
}
/** Returns true if the request may. The request's headers say who asks. */
export type Authorize = (request: Request, subject: AuthorizeSubject) => Awaitable<boolean>

/** Limits of a refused request's body that is read and thrown away, in bytes and milliseconds. */
export interface AfterRefusalLimits {
  readonly maxBytes: number
  readonly timeout: number
}

/** Throws ConfigurationError for a service that is not configured. */
export function requireService(context: Pick<StorageContext, 'services'>, name: string): Service {
  const service = context.services[name]
  if (service === undefined)
    throw new ConfigurationError(
      `The blob is in the service '${name}', which is not configured. Add it to services.`,
    )
  return service
}
