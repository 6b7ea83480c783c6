import { ValidationError, ValidationErrorItem, type Model } from 'sequelize'
import { ActiveStorageError } from '../../errors.ts'
import { assignedTo } from '../assigned.ts'

const validations: ReadonlySet<string> = new Set(['ATTACHMENT_REQUIRED', 'FILE_TOO_LARGE', 'FILE_TYPE_NOT_ACCEPTED', 'TOO_MANY_FILES'])

/** What a record's own limits refuse is an invalid record, as Sequelize tells of one: `errors[0].path` is the attachment. */
export function asValidationError(error: unknown, record: Model): unknown {
  if (!(error instanceof ActiveStorageError) || !validations.has(error.code)) return error
  const path = error.details.attachment ?? ''
  const value = assignedTo(record, path, 'attachLater') ?? assignedTo(record, path, 'attach')
  const item = new ValidationErrorItem(error.message, 'validation error', path, value as string, record, error.code, error.name, [])
  Object.assign(item, { original: error })
  return Object.assign(new ValidationError(error.message, [item]), { cause: error })
}
