import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnyAttachments, Models } from '../../attached/definitions.ts'
import type { ParsedForm, ParseFormOptions } from '../forms/parse-form.ts'
import type { FormParser, Mountable } from '../mountable.ts'
import { nodeHandler } from '../node-handler.ts'

declare global {
  // oxlint-disable-next-line typescript/no-namespace -- how Express' types are added to
  namespace Express {
    interface Request {
      /** What `form` of activestorage-delayed read. */
      form?: ParsedForm<AnyAttachments>
    }
  }
}

type Next = (error?: unknown) => void

/**
 * Middleware: answers what is below `basePath`, wherever it is mounted. It may come before or after a JSON parser.
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
 * Middleware where multer sits today: stages the files of a form as they stream in. `req.form` is what
 * `storage.parseForm` gives, `req.body` its values. Errors go to `next`, with what was typed in `req.body`.
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
        req.body = (error as { values?: unknown }).values ?? {}
        next(error)
      },
    )
  }
}
