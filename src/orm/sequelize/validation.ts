import { ValidationError, ValidationErrorItem, type Model } from 'sequelize'
import { readAssignedInput } from '../pending-files.ts'
import { isValidationError } from '../validation-errors.ts'

/** As Sequelize tells of an invalid record: `errors[0].path` is the attachment. */
export function toValidationError(error: unknown, record: Model): unknown {
  if (!isValidationError(error)) return error
  const path = error.details.attachment ?? ''
  const value =
    readAssignedInput(record, path, 'attachLater') ?? readAssignedInput(record, path, 'attach')
  const item = new ValidationErrorItem(
    error.publicMessage,
    'validation error',
    path,
    value as string,
    record,
    error.code,
    error.name,
    [],
  )
  Object.assign(item, { original: error })
  return Object.assign(new ValidationError(error.publicMessage, [item]), { cause: error })
}
