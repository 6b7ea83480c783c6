import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Models } from '../../attached/definitions.ts'
import { ActiveStorageError } from '../../errors/errors.ts'
import { publicErrorOf } from '../../errors/public-error.ts'
import type { ParsedForm, ParseFormOptions } from '../forms/parse-form.ts'
import { requireVersion } from '../../options/require-version.ts'
import type { FormParser, Mountable } from '../mountable.ts'
import { nodeHandler } from '../node-handler.ts'

/**
 * All methods that Fastify knows, so that our router answers with 405 and `Allow`. Fastify would
 * answer 404.
 */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
const MULTIPART = 'multipart/form-data'

/**
 * Creates a plugin that answers requests below `basePath`, and leaves forms with files to `form`
 * everywhere in the app. When Fastify's own error handler answers an error of the library, the
 * visitor gets its `publicMessage`.
 *
 * @example
 * import fastify from 'fastify'
 * import { activeStorage } from 'activestorage-delayed/fastify'
 *
 * const app = fastify()
 * await app.register(activeStorage(storage))
 */
export function activeStorage(storage: Mountable): FastifyPluginAsync {
  const handle = nodeHandler(storage)
  const plugin: FastifyPluginAsync = async (app) => {
    requireVersion('activeStorage()', 'fastify', '4.0.0', app.version)
    // The parser of @fastify/multipart also reads nothing before a handler asks for files.
    if (!app.hasContentTypeParser(MULTIPART)) skipParsing(app, MULTIPART)
    sendPublicMessages(app)
    await app.register(async (own) => {
      own.removeAllContentTypeParsers()
      skipParsing(own, '*')
      own.route({
        method: [...METHODS],
        url: `${storage.basePath}/*`,
        exposeHeadRoute: false,
        handler(request, reply) {
          // Headers that hooks have set, such as those of CORS.
          for (const [name, value] of Object.entries(reply.getHeaders()))
            if (value !== undefined) reply.raw.setHeader(name, value)
          reply.hijack()
          handle(request.raw, reply.raw)
        },
      })
    })
  }
  // Fastify's mark of a plugin that applies to the whole app, and not only to its children.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true })
}

/** Replaces the `message` of Fastify's own error responses, which is text for the log. */
function sendPublicMessages(app: FastifyInstance): void {
  const failed = new WeakMap<FastifyReply, ActiveStorageError>()
  app.addHook('onError', async (_request, reply, error) => {
    if (error instanceof ActiveStorageError) failed.set(reply, error)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const error = failed.get(reply)
    // A response of the app's own error handler, which has another shape, stays as it is.
    if (error === undefined || typeof payload !== 'string' || !payload.startsWith('{"statusCode":'))
      return payload
    const body = JSON.parse(payload) as { readonly message?: unknown }
    if (body.message !== error.message) return payload
    const { message, reference } = publicErrorOf(error)
    if (reference !== null)
      request.log.error({ reference, err: error }, 'The response has this reference.')
    return JSON.stringify({ ...body, message })
  })
}

function skipParsing(app: FastifyInstance, type: string): void {
  app.addContentTypeParser(type, (_request, _payload, done) => done(null))
}

/**
 * Reads a form in a route's handler while it arrives. The plugin must be registered. Throws the
 * errors of `storage.parseForm`, which have a `statusCode`, used by Fastify for the response, and a
 * `publicMessage`.
 *
 * @example
 * import fastify from 'fastify'
 * import { form } from 'activestorage-delayed/fastify'
 *
 * const app = fastify()
 * app.post('/users', async (request) => {
 *   const { values, files } = await form(storage, request, { model: 'User' })
 *   await storage.record('User', String(values['id'])).attachLater(files)
 *   return 'saved'
 * })
 */
export function form<M extends Models, N extends keyof M & string>(
  storage: FormParser<M>,
  request: Pick<FastifyRequest, 'raw'>,
  options: ParseFormOptions<N>,
): Promise<ParsedForm<M[N]>> {
  return storage.parseForm(request.raw, options)
}
