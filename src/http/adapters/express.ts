import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnyAttachments, Models } from '../../attached/definitions.ts'
import { ActiveStorageError } from '../../errors/errors.ts'
import type { ParsedForm, ParseFormOptions } from '../forms/parse-form.ts'
import type { FormParser, Mountable } from '../mountable.ts'
import { nodeHandler } from '../node-handler.ts'

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- Express' types are extended like this
  namespace Express {
    interface Request {
      /** Result of `form` of activestorage-delayed. */
      form?: ParsedForm<AnyAttachments>
    }
  }
}

type Next = (error?: unknown) => void

/**
 * Creates middleware that answers requests below `basePath`, wherever it is mounted. It may come
 * before or after a JSON parser.
 *
 * @example
 * import express from 'express'
 * import { activeStorage } from 'activestorage-delayed/express'
 *
 * const app = express()
 * app.use(activeStorage(storage))
 */
export function activeStorage(
  storage: Mountable,
): (req: IncomingMessage, res: ServerResponse, next: Next) => void {
  return nodeHandler(storage)
}

/**
 * Creates middleware in the place of multer: it stages the files of a form while they arrive.
 * `req.form` is the result of `storage.parseForm`, `req.body` its values. Errors go to `next`; then
 * `req.body` has the values that were read before.
 *
 * @example
 * import express from 'express'
 * import { form } from 'activestorage-delayed/express'
 *
 * const app = express()
 * app.post('/users/:id', form(storage, { model: 'User' }), async (req, res) => {
 *   await storage.record('User', req.params.id).attachLater(req.form!.files)
 *   res.redirect('/')
 * })
 */
export function form<M extends Models, N extends keyof M & string>(
  storage: FormParser<M>,
  options: ParseFormOptions<N>,
): (
  req: IncomingMessage & { form?: ParsedForm<M[N]>; body?: unknown },
  res: ServerResponse,
  next: Next,
) => void {
  return (req, _res, next) => {
    storage.parseForm(req, options).then(
      (parsed) => {
        req.form = parsed
        req.body = parsed.values
        next()
      },
      (error: unknown) => {
        req.body = error instanceof ActiveStorageError ? (error.values ?? {}) : {}
        next(error)
      },
    )
  }
}
