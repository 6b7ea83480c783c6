import { describeLane } from '../attachments/lane.ts'
import type { Log } from '../diagnostics/log.ts'
import type { ActiveStorageError, ErrorDetails } from '../errors/errors.ts'
import type { ImageProcessor, Transformation } from '../images/image-processor.ts'
import type { Service } from '../services/service.ts'
import type { AttachmentRow } from '../attachments/attachment-rows.ts'
import type { Store } from '../database/store.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { QueueMessages } from './queue-messages.ts'
import type { UploadRow } from './upload-rows.ts'

/** The part of an attachment's definition that uploads need. */
export interface DelayedDefinition {
  readonly kind: 'one' | 'many'
  readonly service: string
  readonly keyPrefix: ((record: unknown) => string) | string | undefined
  /** A function may also return `true` or `false`, with the meaning that they have as options. */
  readonly useFilename:
    | boolean
    | ((record: unknown, filename: string) => boolean | string | PromiseLike<boolean | string>)
  readonly variantInfo: Transformation | undefined
  readonly maxFiles: number | undefined
  readonly hooks: DelayedHooks
}

/** The hooks of an attachment, which take rows. undefined: the attachment has no such hook. */
export interface DelayedHooks {
  readonly afterUpload: ((record: unknown, payload: HookPayload) => Promise<void>) | undefined
  readonly afterUploadAll:
    ((record: unknown, payload: Omit<HookPayload, 'file'>) => Promise<void>) | undefined
  readonly errorUpload:
    | ((record: unknown, error: ActiveStorageError, payload: ErrorHookPayload) => Promise<void>)
    | undefined
}

/** The arguments of `afterUpload`, as rows; without `file`, those of `afterUploadAll`. */
export interface HookPayload {
  readonly upload: UploadRow
  readonly file: FileRow
  /** null: its attachment is gone again. */
  readonly attachment: AttachmentRow | null
  /** Number of the round of hooks; the first is 1. */
  readonly round: number
}

/** The arguments of `errorUpload`, as rows. */
export interface ErrorHookPayload {
  readonly upload: UploadRow
  readonly file: FileRow
  /** null: there is no next attempt. */
  readonly retryAt: Date | null
}

/** Settings of the retries of failed uploads. */
export interface RetryOptions {
  /** Attempts until an upload fails. */
  readonly attempts: number
  /** Milliseconds. */
  readonly minDelay: number
  /** Milliseconds. */
  readonly maxDelay: number
  /** Milliseconds that an upload waits for a service that is unavailable. */
  readonly for: number
}

/** The parts of a storage that uploads need. */
export interface DelayedContext {
  readonly store: Store
  readonly services: Readonly<Record<string, Service>>
  readonly images: ImageProcessor | undefined
  readonly retries: RetryOptions
  /** Messages to the app's queue. null: the embedded engine. */
  readonly messages: QueueMessages | null
  /** Milliseconds that a file's row stays after the file was attached, to redirect its path. */
  readonly expiresIn: number
  /** undefined: this process does not define the attachment. */
  findDefinition(type: string, name: string): DelayedDefinition | undefined
  /** The attachments that this process defines, by model and name. */
  readonly knownAttachments: readonly { readonly type: string; readonly name: string }[]
  /** The app's record, or `{ type, id }` where none can be looked up. null: it is not found. */
  findRecord(type: string, id: string): Promise<unknown>
  /** Sets the record's time of change, where an ORM has the record and a column for it. */
  touch(type: string, id: string): Promise<void>
  readonly log: Log
}

/** Makes the details of an error, or of a line of the log. */
export function uploadErrorDetails(upload: UploadRow, filename?: string): ErrorDetails {
  return { ...describeLane(upload.lane), ...(filename === undefined ? {} : { filename }) }
}

/** Returns the name of an attachment's service; '': the attachment is not defined. */
export const toServiceName = (
  { findDefinition }: Pick<DelayedContext, 'findDefinition'>,
  { type, name }: { readonly type: string; readonly name: string },
): string => findDefinition(type, name)?.service ?? ''
