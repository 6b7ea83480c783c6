import { ActiveStorageError } from '../errors/errors.ts'

const VALIDATION_CODES: ReadonlySet<string> = new Set([
  'ATTACHMENT_REQUIRED',
  'FILE_TOO_LARGE',
  'FILE_TYPE_NOT_ACCEPTED',
  'TOO_MANY_FILES',
])

/**
 * Returns whether an error says that a record breaks the limits of its attachments: an ORM's own
 * validation error, where it has one.
 */
export const isValidationError = (error: unknown): error is ActiveStorageError =>
  error instanceof ActiveStorageError && VALIDATION_CODES.has(error.code)
