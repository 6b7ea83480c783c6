import { HttpException, Logger, type NestInterceptor } from '@nestjs/common'
import { catchError } from 'rxjs'
import { ActiveStorageError } from '../errors/errors.ts'
import { publicErrorOf } from '../errors/public-error.ts'

const logger = new Logger('ActiveStorage')

/**
 * Turns an error of the library into an HttpException with its status, its code and the message for
 * visitors. The error is its cause. An error with a reference is logged with it, so that the app's
 * developers find what the visitor reports.
 */
export class PublicErrorInterceptor implements NestInterceptor {
  intercept(...[, next]: Parameters<NestInterceptor['intercept']>): ReturnType<typeof next.handle> {
    return next.handle().pipe(
      catchError((error: unknown) => {
        throw toHttpException(error)
      }),
    )
  }
}

function toHttpException(error: unknown): unknown {
  if (!(error instanceof ActiveStorageError)) return error
  const { statusCode, code, message, reference } = publicErrorOf(error)
  if (reference !== null) logger.error(`Reference ${reference}: ${error.message}`, error.stack)
  return new HttpException({ statusCode, code, message }, statusCode, { cause: error })
}
