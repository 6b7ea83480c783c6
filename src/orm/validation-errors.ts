import { ActiveStorageError } from '../errors/errors.ts'

const VALIDATION_CODES: ReadonlySet<string> = new Set([
  'ATTACHMENT_REQUIRED',
  'FILE_TOO_LARGE',
  'FILE_TYPE_NOT_ACCEPTED',
  'TOO_MANY_FILES',
])

/** What a record's own limits refuse is an invalid record: ORMs that have an error for these tell of it so. */
export const isValidationError = (error: unknown): error is ActiveStorageError =>
  error instanceof ActiveStorageError && VALIDATION_CODES.has(error.code)
