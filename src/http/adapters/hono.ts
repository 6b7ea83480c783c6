import { IncomingMessage } from 'node:http'
import type { Context, MiddlewareHandler } from 'hono'
import type { Models } from '../../attached/definitions.ts'
import type { ParsedForm, ParseFormOptions } from '../forms/parse-form.ts'
import { publicErrorOf } from '../../errors/public-error.ts'
import { respondPublicError } from '../responses.ts'
import { requireVersion } from '../../options/require-version.ts'
import { closeAfterResponse } from '../close-after-response.ts'
import type { FormParser, Mountable } from '../mountable.ts'

/**
 * Creates middleware that answers requests below `basePath`.
 *
 * @example
 * import { Hono } from 'hono'
 * import { activeStorage } from 'activestorage-delayed/hono'
 *
 * const app = new Hono()
 * app.use(activeStorage(storage))
 */
export function activeStorage(storage: Mountable): MiddlewareHandler {
  requireVersion('activeStorage()', 'hono', '4.0.0')
  return async (c, next) => {
    if (!new URL(c.req.url).pathname.startsWith(`${storage.basePath}/`)) return next()
    const response = await storage.handler(c.req.raw)
    if (response.status >= 400) closeOnNode(c)
    return response
  }
}

/**
 * Closes Node's connection when a refused request was not read to its end. Other platforms decide
 * this themselves.
 */
function closeOnNode({ env }: Context): void {
  if (typeof env !== 'object' || env === null || !('incoming' in env)) return
  if (env.incoming instanceof IncomingMessage) closeAfterResponse(env.incoming)
}

/**
 * Gives the error a response, which Hono sends when the app has no `onError`. Hono logs none of the
 * errors that have a response, so one with a reference is logged here.
 */
function throwWithResponse(error: unknown): never {
  const publicError = publicErrorOf(error)
  const getResponse = (): Response => {
    if (publicError.reference !== null) console.error(publicError.reference, error)
    return respondPublicError(publicError)
  }
  if (publicError.statusCode < 500 && error instanceof Error) Object.assign(error, { getResponse })
  throw error
}

/**
 * Creates middleware that stages the files of a form while they arrive. `c.var.form` is the result
 * of `storage.parseForm`. It throws the errors of `storage.parseForm`: the response has their
 * status and `publicMessage`, or comes from the app's `onError`.
 *
 * @example
 * import { Hono } from 'hono'
 * import { form } from 'activestorage-delayed/hono'
 *
 * const app = new Hono()
 * app.post('/users/:id', form(storage, { model: 'User' }), async (c) => {
 *   await storage.record('User', c.req.param('id')).attachLater(c.var.form.files)
 *   return c.redirect('/')
 * })
 */
export function form<M extends Models, N extends keyof M & string>(
  storage: FormParser<M>,
  options: ParseFormOptions<N>,
): MiddlewareHandler<{ Variables: { form: ParsedForm<M[N]> } }> {
  return async (c, next) => {
    c.set(
      'form',
      await storage.parseForm(c.req.raw, options).catch((error: unknown) => {
        closeOnNode(c)
        return throwWithResponse(error)
      }),
    )
    await next()
  }
}
