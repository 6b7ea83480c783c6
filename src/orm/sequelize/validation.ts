import { ValidationError, ValidationErrorItem, type Model } from 'sequelize'
import { assignedTo } from '../assigned.ts'
import { isValidation } from '../validations.ts'

/** As Sequelize tells of an invalid record: `errors[0].path` is the attachment. */
export function asValidationError(error: unknown, record: Model): unknown {
  if (!isValidation(error)) return error
  const path = error.details.attachment ?? ''
  const value = assignedTo(record, path, 'attachLater') ?? assignedTo(record, path, 'attach')
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
