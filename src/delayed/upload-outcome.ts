import type { ActiveStorageError } from '../errors/errors.ts'

/**
 * How an attempt at an upload ended. `superseded`: it was replaced, discarded or taken over while
 * it ran. `released`: the worker stopped, and no attempt is counted.
 */
export type UploadOutcome = 'uploaded' | 'retried' | 'failed' | 'superseded' | 'released'

/** The outcome of an attempt, and what follows from it. */
export interface UploadResult {
  readonly outcome: UploadOutcome
  /** The error of the file that failed last in this attempt. */
  readonly error?: ActiveStorageError
  /** When a retried upload is due again, by the database's clock. */
  readonly retryAt?: Date
  /** The same time by `performance.now()`. It holds if the two clocks differ. */
  readonly dueAt?: number
  /** true: the attempt ended because the service is unavailable. */
  readonly isServiceUnavailable?: boolean
}
