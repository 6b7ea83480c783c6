import { ValidationError, ValidationErrorItem, type Model } from 'sequelize'
import { readAssignedInput } from '../assigned-files.ts'
import { isValidationError } from '../validation-errors.ts'

/**
 * Turns a refused file into Sequelize's ValidationError, where `errors[0].path` is the attachment's
 * name. Others stay.
 */
export function toValidationError(error: unknown, record: Model): unknown {
  if (!isValidationError(error)) return error
  const path = error.details.attachment ?? ''
  const value =
    readAssignedInput(record, path, 'attachLater') ?? readAssignedInput(record, path, 'attach')
  const item = new ValidationErrorItem(
    error.publicMessage,
    'validation error',
    path,
    '',
    record,
    error.code,
    error.name,
    [],
  )
  // Sequelize types `value` as text, and sets what the app assigned.
  Object.assign(item, { original: error, value: value ?? null })
  return Object.assign(new ValidationError(error.publicMessage, [item]), { cause: error })
}
