import type { Log } from '../diagnostics/log.ts'
import type { ActiveStorageError, ErrorDetails } from '../errors/errors.ts'
import type { JobEngine } from '../jobs/engine.ts'
import type { ImageProcessor, Transformation } from '../images/image-processor.ts'
import type { Service } from '../services/service.ts'
import type { AttachmentRow } from '../attachments/attachment-rows.ts'
import type { Store } from '../database/store.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { UploadRow } from './upload-rows.ts'

/** What the uploader reads of an attachment's definition; hooks get values that the room above builds. */
export interface DelayedDefinition {
  readonly kind: 'one' | 'many'
  readonly service: string
  readonly keyPrefix: ((record: unknown) => string) | string | undefined
  /** A function may also answer what stands without one: `true` or `false`. */
  readonly useFilename:
    | boolean
    | ((record: unknown, filename: string) => boolean | string | PromiseLike<boolean | string>)
  readonly variantInfo: Transformation | undefined
  readonly maxFiles: number | undefined
  readonly afterUpload?: ((record: unknown, told: HookPayload) => Promise<void>) | undefined
  readonly afterUploadAll?:
    ((record: unknown, told: Omit<HookPayload, 'file'>) => Promise<void>) | undefined
  readonly errorUpload?:
    ((record: unknown, error: ActiveStorageError, told: HookPayload) => Promise<void>) | undefined
}

/** What a hook is told, as rows. */
export interface HookPayload {
  readonly upload: UploadRow
  readonly file: FileRow
  readonly attachment: AttachmentRow | null
  readonly attempt: number
  readonly retryAt: Date | null
}

export interface RetryOptions {
  readonly attempts: number
  /** Milliseconds. */
  readonly minDelay: number
  readonly maxDelay: number
  /** How long an upload waits for a service that is away. */
  readonly for: number
}

/** All that the delayed room needs from the outside. */
export interface DelayedContext {
  readonly store: Store
  readonly services: Readonly<Record<string, Service>>
  readonly images: ImageProcessor | undefined
  readonly retries: RetryOptions
  /** The app's own queue; null: the embedded engine. */
  readonly engine: JobEngine | null
  /** Milliseconds that a file's row stays to answer after it was attached. */
  readonly expiresIn: number
  /** Pairs of model and attachment that this process knows. */
  findDefinition(type: string, name: string): DelayedDefinition | undefined
  readonly knownAttachments: readonly { readonly type: string; readonly name: string }[]
  /** null: no such record. Without `findRecord`, `{ type, id }`. */
  findRecord(type: string, id: string): Promise<unknown>
  /** Where an ORM has the record, and a column for it: says that it was changed. */
  touch(type: string, id: string): Promise<void>
  readonly log: Log
}

export function uploadErrorDetails(upload: UploadRow, filename?: string): ErrorDetails {
  const { type, id, name } = upload.lane
  return { record: { type, id }, attachment: name, ...(filename === undefined ? {} : { filename }) }
}
