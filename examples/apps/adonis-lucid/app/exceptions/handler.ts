import { ExceptionHandler, type HttpContext } from '@adonisjs/core/http'
import { ActiveStorageError, publicErrorOf } from 'activestorage-delayed'

/** Adonis shows the message of an error, which of the library's is for the log. */
export default class HttpExceptionHandler extends ExceptionHandler {
  override async handle(error: unknown, ctx: HttpContext): Promise<unknown> {
    if (!(error instanceof ActiveStorageError)) return super.handle(error, ctx)
    const { statusCode, message, reference } = publicErrorOf(error)
    if (reference !== null) ctx.logger.error({ reference, err: error }, error.message)
    return ctx.response.status(statusCode).send(message)
  }
}
