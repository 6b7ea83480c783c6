import type { ModelClass, Model } from 'objection'
import { isValidationError } from '../validation-errors.ts'

/** As Objection tells of an invalid record: `data.photo[0]` says what is wrong; the app's own class may make the error. */
export function toValidationError(error: unknown, modelClass: ModelClass<Model>): unknown {
  if (!isValidationError(error)) return error
  const { publicMessage: message, code, statusCode, details } = error
  const data = { [details.attachment ?? '']: [{ message, keyword: code, params: {} }] }
  const made = modelClass.createValidationError({
    type: 'ModelValidation',
    message,
    data,
    statusCode,
  } as never)
  return Object.assign(made, { cause: error })
}
