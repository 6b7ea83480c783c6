import {
  StagedFileAlreadyUsedError,
  StagedFileExpiredError,
  type ErrorDetails,
} from '../errors/errors.ts'

/** Makes the error for a staged file that is gone, or that another request submits. */
export function createExpiredError(
  filename: string,
  details: ErrorDetails,
): StagedFileExpiredError {
  return new StagedFileExpiredError(
    `${filename} is no longer staged: it expired, was discarded, or is being submitted by another request. Send it again.`,
    { details: { ...details, filename } },
  )
}

/** Makes the error for a staged file that belongs to another record or attachment. */
export function createUsedError(
  details: ErrorDetails & { readonly filename: string },
): StagedFileAlreadyUsedError {
  return new StagedFileAlreadyUsedError(
    `${details.filename} was already submitted for another record or attachment. Stage it again to use it twice.`,
    { details },
  )
}
