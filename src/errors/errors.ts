import { appendDetails } from './message.ts'
import { toPublicMessage, formatFile, formatSize } from './public-message.ts'

/** What every error of the library says about the place it happened at. */
export interface ErrorDetails {
  readonly record?: { readonly type: string; readonly id: string }
  readonly attachment?: string
  readonly filename?: string
}

/** Names the kind of an error in `code`. */
export type ErrorCode =
  | 'FILE_NOT_FOUND'
  | 'INTEGRITY'
  | 'INVALID_SIGNATURE'
  | 'INVARIABLE'
  | 'FILE_TOO_LARGE'
  | 'FILE_TYPE_NOT_ACCEPTED'
  | 'TOO_MANY_FILES'
  | 'ATTACHMENT_REQUIRED'
  | 'ATTACH_PENDING'
  | 'STAGED_FILE_EXPIRED'
  | 'STAGED_FILE_ALREADY_USED'
  | 'STAGING_OFFSET'
  | 'UNKNOWN_ATTACHMENT'
  | 'RECORD_NOT_FOUND'
  | 'INVALID_INPUT'
  | 'FORM_LIMIT'
  | 'CONFIGURATION'
  | 'SERVICE'
  | 'SERVICE_UNAVAILABLE'

/** For subclasses of an app's own. */
export interface ActiveStorageErrorOptions {
  readonly cause?: unknown
  readonly details?: ErrorDetails
  /** One or two sentences for the visitor: the file, the limit and what to do. No id, key, path or SQL. Default: a sentence by `code`. */
  readonly publicMessage?: string
}

/**
 * The base of every error that the library throws on purpose. `code` names the kind, `retryable` says whether the
 * same call may succeed later, `statusCode` is read by the error handlers of Express, Fastify, Koa and Nest; a Hono app's
 * `onError` reads it itself.
 *
 * `message` and `details` are for the app and its log: they name records, attachments and keys. `publicMessage` is for
 * visitors.
 */
export class ActiveStorageError extends Error {
  readonly code: ErrorCode = 'SERVICE'
  readonly retryable: boolean = false
  readonly statusCode: number = 500
  readonly details: ErrorDetails
  /** Of a form that was refused: what was typed in it until then, to show it again. */
  values?: Readonly<Record<string, string | readonly string[] | undefined>>

  constructor(message: string, options: ActiveStorageErrorOptions = {}) {
    super(
      appendDetails(message, options.details),
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.name = new.target.name
    this.details = options.details ?? {}
    if (options.publicMessage !== undefined)
      Object.defineProperty(this, 'publicMessage', { value: options.publicMessage })
  }

  /** A visitor may read this: it says the file, the limit and what to do, and holds no id, key, path or SQL. */
  get publicMessage(): string {
    return toPublicMessage(this.code, this.details)
  }
  /** `statusCode` once more: Koa reads it by this name. */
  get status(): number {
    return this.statusCode
  }
  /** false: Koa and Nest send no `message` then, but the status in words. */
  get expose(): boolean {
    return false
  }
}

/** The object, or the blob's row, is not there. */
export class FileNotFoundError extends ActiveStorageError {
  override readonly code = 'FILE_NOT_FOUND' as const
  override readonly retryable: boolean = true
  override readonly statusCode = 404
}
/** Bytes do not have the size or MD5 that was promised. */
export class IntegrityError extends ActiveStorageError {
  override readonly code = 'INTEGRITY' as const
  override readonly retryable: boolean = true
}
/** A signed id that was not signed with this secret, or not for this purpose. */
export class InvalidSignatureError extends ActiveStorageError {
  override readonly code = 'INVALID_SIGNATURE' as const
  override readonly statusCode = 404
}
/** The bytes cannot be transformed: not an image, or a broken or a forbidden one. */
export class InvariableError extends ActiveStorageError {
  override readonly code = 'INVARIABLE' as const
  override readonly statusCode = 422
}
/** More bytes than `maxSize`. */
export class FileTooLargeError extends ActiveStorageError {
  override readonly code = 'FILE_TOO_LARGE' as const
  override readonly statusCode = 413
  /** The limit, in bytes. */
  readonly maxSize: number
  constructor(message: string, maxSize: number, options?: ActiveStorageErrorOptions) {
    super(message, options)
    this.maxSize = maxSize
    if (options?.publicMessage === undefined) {
      const text = `${formatFile(this.details)} is larger than ${formatSize(maxSize)}. Choose a smaller one.`
      Object.defineProperty(this, 'publicMessage', { value: text })
    }
  }
}
/** The bytes' content type is not among `accept`. */
export class FileTypeNotAcceptedError extends ActiveStorageError {
  override readonly code = 'FILE_TYPE_NOT_ACCEPTED' as const
  override readonly statusCode = 415
}
/** More files than `maxFiles`. */
export class TooManyFilesError extends ActiveStorageError {
  override readonly code = 'TOO_MANY_FILES' as const
  override readonly statusCode = 413
}
/** A `required` attachment is neither attached nor on its way. */
export class AttachmentRequiredError extends ActiveStorageError {
  override readonly code = 'ATTACHMENT_REQUIRED' as const
  override readonly statusCode = 422
}
/** The staged file waited longer than `staging.expiresIn`. */
export class StagedFileExpiredError extends ActiveStorageError {
  override readonly code = 'STAGED_FILE_EXPIRED' as const
  override readonly statusCode = 410
}
/** The staged file already belongs to another record or attachment. */
export class StagedFileAlreadyUsedError extends ActiveStorageError {
  override readonly code = 'STAGED_FILE_ALREADY_USED' as const
  override readonly statusCode = 409
}
/** Bytes were sent for another place of a staged file than its end: some were lost, or were sent before. */
export class StagingOffsetError extends ActiveStorageError {
  override readonly code = 'STAGING_OFFSET' as const
  override readonly statusCode = 409
  /** The end of the file in bytes, from which the next ones must be sent. */
  readonly expectedOffset: number
  constructor(message: string, expectedOffset: number, options?: ActiveStorageErrorOptions) {
    super(message, options)
    this.expectedOffset = expectedOffset
  }
}
/**
 * The record is saved, and a file that was attached directly is not attached yet: its service failed, or took too long. The upload
 * goes on in the background, or waits for a person where it failed for good; saving again would not help. `cause` is what failed.
 */
export class AttachPendingError extends ActiveStorageError {
  override readonly code = 'ATTACH_PENDING' as const
}
/** No such model, or no such attachment of it. */
export class UnknownAttachmentError extends ActiveStorageError {
  override readonly code = 'UNKNOWN_ATTACHMENT' as const
}
/** `findRecord` found nothing; retried, because a replica may lag behind. */
export class RecordNotFoundError extends ActiveStorageError {
  override readonly code = 'RECORD_NOT_FOUND' as const
  override readonly retryable: boolean = true
  override readonly statusCode = 404
}
/** What was handed over is no file, no id, or a stream that was read before. */
export class InvalidInputError extends ActiveStorageError {
  override readonly code = 'INVALID_INPUT' as const
  override readonly statusCode = 422
}
/** A form with more fields, files or bytes of fields than it may have. */
export class FormLimitError extends ActiveStorageError {
  override readonly code = 'FORM_LIMIT' as const
  override readonly statusCode = 413
}
/** Wrong options, or options that do not fit the database. */
export class ConfigurationError extends ActiveStorageError {
  override readonly code = 'CONFIGURATION' as const
}
/** A storage service failed; tried again unless it says that it never will succeed. */
export class ServiceError extends ActiveStorageError {
  override readonly code: 'SERVICE' | 'SERVICE_UNAVAILABLE' = 'SERVICE'
  override readonly retryable: boolean = true
}
/**
 * A service as a whole is away: it cannot be reached, does not answer in time, answers with 5xx, or asks to be slower. It
 * is not the file's fault: an upload loses no attempt by it, and is tried again until `retries.for` is over.
 */
export class ServiceUnavailableError extends ServiceError {
  override readonly code = 'SERVICE_UNAVAILABLE' as const
  override readonly statusCode = 503
}
