import type { ModelClass, Model } from 'objection'
import { isValidationError } from '../validation-errors.ts'

/**
 * Turns a refused file into Objection's ValidationError, or the app's own from
 * `createValidationError`: `data.photo[0]` has the message. Other errors stay.
 */
export function toValidationError(error: unknown, modelClass: ModelClass<Model>): unknown {
  if (!isValidationError(error)) return error
  const { publicMessage: message, code, statusCode, details } = error
  const data = { [details.attachment ?? '']: [{ message, keyword: code, params: {} }] }
  const made = modelClass.createValidationError({
    type: 'ModelValidation',
    message,
    data,
    statusCode,
  })
  return Object.assign(made, { cause: error })
}
