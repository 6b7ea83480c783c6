import type { ActiveStorageError } from '../errors/errors.ts'

/** Result of an attempt at an upload, and the next step. */
export type UploadResult = EndedResult | RetriedResult | FailedResult

/**
 * An attempt without an error. `superseded`: the upload was replaced, discarded or taken over while
 * it ran. `released`: the worker stopped, and no attempt is counted.
 */
export interface EndedResult {
  readonly outcome: 'uploaded' | 'superseded' | 'released'
}

/** An attempt whose upload is due again later. */
export interface RetriedResult {
  readonly outcome: 'retried'
  /** The error of the file that failed last in this attempt. */
  readonly error: ActiveStorageError
  /** When the upload is due again, by the database's clock. */
  readonly retryAt: Date
  /** The same time by `performance.now()`. It holds if the two clocks differ. */
  readonly dueAt: number
}

/** An attempt whose upload waits for a retry by hand. */
export interface FailedResult {
  readonly outcome: 'failed'
  /** The error of the file that failed last. undefined: files failed in an earlier attempt only. */
  readonly error: ActiveStorageError | undefined
}
