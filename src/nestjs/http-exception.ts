import { HttpException } from '@nestjs/common'
import { ActiveStorageError } from '../errors.ts'

/** As Nest answers it, with the code; the error is its cause. What the visitor is not to know stays what it is: Nest logs it. */
export function httpExceptionOf(error: unknown): unknown {
  if (!(error instanceof ActiveStorageError) || error.statusCode >= 500) return error
  const { statusCode, code, publicMessage: message } = error
  return new HttpException({ statusCode, code, message }, statusCode, { cause: error })
}
