import { appendDetails } from './message.ts'
import { toPublicMessage, formatFile, formatSize } from './public-message.ts'

/** The place at which an error of the library happened. */
export interface ErrorDetails {
  /** The record's model and id. */
  readonly record?: { readonly type: string; readonly id: string }
  /** The attachment's name, such as 'photo'. */
  readonly attachment?: string
  readonly filename?: string
}

/** The kinds of errors, as `code` names them. */
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

/** Options of an error's constructor, for an app's own subclasses. */
export interface ActiveStorageErrorOptions {
  /** The error behind it. */
  readonly cause?: unknown
  /** Record, attachment and file, for the app and its log. */
  readonly details?: ErrorDetails
  /**
   * One or two sentences for visitors: the file, the limit and what to do, without ids, keys, paths
   * or SQL. Default: by `code`. `publicErrorOf` takes an InvalidInputError without one for a mistake
   * of the app.
   */
  readonly publicMessage?: string
}

/**
 * The base of every error that the library throws on purpose. `code` names the kind; `retryable` is
 * true if the same call may succeed later. The error handlers of Express, Fastify, Koa and Nest
 * read `statusCode`; a Hono app reads it in `onError`.
 *
 * `message` and `details` are for the app and its log: they name records, attachments and keys.
 * `publicMessage` is for visitors.
 */
export class ActiveStorageError extends Error {
  /** The kind of error. */
  readonly code: ErrorCode = 'SERVICE'
  /** Whether the same call may succeed later. */
  readonly retryable: boolean = false
  /** HTTP status of a response to the error. */
  readonly statusCode: number = 500
  /** Record, attachment and file, for the app and its log. */
  readonly details: ErrorDetails
  /**
   * The values of a form that was refused, as far as they were read; to show the form again. Not
   * enumerable there, so that no log has what visitors entered.
   */
  declare values?: Readonly<Record<string, string | readonly string[] | undefined>>

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

  /** A text for visitors: the file, the limit and what to do, without ids, keys, paths or SQL. */
  get publicMessage(): string {
    return toPublicMessage(this.code, this.details)
  }
  /** The same as `statusCode`, by the name that Koa reads. */
  get status(): number {
    return this.statusCode
  }
  /** Always false, so that Koa and Nest respond with the name of the status, not with `message`. */
  get expose(): boolean {
    return false
  }
}

/** The object, or the blob's row, does not exist. */
export class FileNotFoundError extends ActiveStorageError {
  override readonly code = 'FILE_NOT_FOUND' as const
  override readonly retryable: boolean = true
  override readonly statusCode = 404
}
/** The bytes do not have the size or the MD5 that was announced. */
export class IntegrityError extends ActiveStorageError {
  override readonly code = 'INTEGRITY' as const
  override readonly retryable: boolean = true
}
/** The signed id was not signed with this secret, or was signed for another purpose. */
export class InvalidSignatureError extends ActiveStorageError {
  override readonly code = 'INVALID_SIGNATURE' as const
  override readonly statusCode = 404
}
/** The bytes cannot be transformed: they are not an image, or a broken or forbidden one. */
export class InvariableError extends ActiveStorageError {
  override readonly code = 'INVARIABLE' as const
  override readonly statusCode = 422
}
/** The file has more bytes than `maxSize`. */
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
/** The content type of the bytes is not in `accept`. */
export class FileTypeNotAcceptedError extends ActiveStorageError {
  override readonly code = 'FILE_TYPE_NOT_ACCEPTED' as const
  override readonly statusCode = 415
}
/** There are more files than `maxFiles`. */
export class TooManyFilesError extends ActiveStorageError {
  override readonly code = 'TOO_MANY_FILES' as const
  override readonly statusCode = 413
}
/** A `required` attachment has no file, neither attached nor pending. */
export class AttachmentRequiredError extends ActiveStorageError {
  override readonly code = 'ATTACHMENT_REQUIRED' as const
  override readonly statusCode = 422
}
/** The staged file was not submitted within `staging.expiresIn`. */
export class StagedFileExpiredError extends ActiveStorageError {
  override readonly code = 'STAGED_FILE_EXPIRED' as const
  override readonly statusCode = 410
}
/** The staged file was already submitted for another record or attachment. */
export class StagedFileAlreadyUsedError extends ActiveStorageError {
  override readonly code = 'STAGED_FILE_ALREADY_USED' as const
  override readonly statusCode = 409
}
/**
 * Bytes were sent for another place of a staged file than its end: some were lost, or were sent
 * before.
 */
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
 * The record is saved, but a file that was attached directly is not attached yet: its service
 * failed, or took too long. The upload goes on in the background; if it failed for good it waits
 * for a retry by hand. Saving again does not help. `cause` is the failure.
 */
export class AttachPendingError extends ActiveStorageError {
  override readonly code = 'ATTACH_PENDING' as const
}
/** The model does not exist, or has no such attachment. */
export class UnknownAttachmentError extends ActiveStorageError {
  override readonly code = 'UNKNOWN_ATTACHMENT' as const
}
/** `findRecord` found no record. Retried, because a replica may lag behind. */
export class RecordNotFoundError extends ActiveStorageError {
  override readonly code = 'RECORD_NOT_FOUND' as const
  override readonly retryable: boolean = true
  override readonly statusCode = 404
}
/** An argument is not a file, not an id, or is a stream that was read before. */
export class InvalidInputError extends ActiveStorageError {
  override readonly code = 'INVALID_INPUT' as const
  override readonly statusCode = 422
}
/** The form has more fields, files or bytes of fields than its limits allow. */
export class FormLimitError extends ActiveStorageError {
  override readonly code = 'FORM_LIMIT' as const
  override readonly statusCode = 413
}
/** An option is wrong, or does not fit the database. */
export class ConfigurationError extends ActiveStorageError {
  override readonly code = 'CONFIGURATION' as const
}
/** A storage service failed. Retried, unless `retryable` is false. */
export class ServiceError extends ActiveStorageError {
  override readonly code: 'SERVICE' | 'SERVICE_UNAVAILABLE' = 'SERVICE'
  override readonly retryable: boolean = true
}
/**
 * The service as a whole is unavailable: it cannot be reached, does not respond in time, responds
 * with 5xx, or asks for fewer requests. The file is not at fault: no attempt is counted, and the
 * upload is retried until `retries.for` is over.
 */
export class ServiceUnavailableError extends ServiceError {
  override readonly code = 'SERVICE_UNAVAILABLE' as const
  override readonly statusCode = 503
}
