import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Models } from '../../attached/definitions.ts'
import { ActiveStorageError } from '../../errors/errors.ts'
import { publicErrorOf } from '../../errors/public-error.ts'
import type { ParsedForm, ParseFormOptions } from '../forms/parse-form.ts'
import { requireVersion } from '../../options/require-version.ts'
import type { FormParser, Mountable } from '../mountable.ts'
import { nodeHandler } from '../node-handler.ts'

/** All methods that Fastify knows, so that our router answers with 405 and `Allow`. Fastify would answer 404. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
const MULTIPART = 'multipart/form-data'

/**
 * A plugin: answers what is below `basePath`, and leaves forms with files to `form` everywhere in the app. Where Fastify itself
 * answers an error of the library, the visitor gets its `publicMessage`.
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
    // @fastify/multipart leaves the body alone too, until it is asked for files.
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
          // What hooks have set: CORS, for one.
          for (const [name, value] of Object.entries(reply.getHeaders()))
            if (value !== undefined) reply.raw.setHeader(name, value)
          reply.hijack()
          handle(request.raw, reply.raw)
        },
      })
    })
  }
  // Fastify's own sign that a plugin is not for its children only.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true })
}

/** Fastify's own error handler answers with `message`, which is for the log: `{ statusCode, code, error, message }`. */
function sendPublicMessages(app: FastifyInstance): void {
  const failed = new WeakMap<FastifyReply, ActiveStorageError>()
  app.addHook('onError', async (_request, reply, error) => {
    if (error instanceof ActiveStorageError) failed.set(reply, error)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const error = failed.get(reply)
    // What a handler of the app's sends, in a shape of its own, stays as it is.
    if (error === undefined || typeof payload !== 'string' || !payload.startsWith('{"statusCode":'))
      return payload
    const body = JSON.parse(payload) as { readonly message?: unknown }
    if (body.message !== error.message) return payload
    const { message, reference } = publicErrorOf(error)
    if (reference !== null)
      request.log.error({ reference, err: error }, 'The visitor was told this reference.')
    return JSON.stringify({ ...body, message })
  })
}

function skipParsing(app: FastifyInstance, type: string): void {
  app.addContentTypeParser(type, (_request, _payload, done) => done(null))
}

/**
 * Reads a form as it streams in, in a route's handler; the plugin must be registered. Throws like `storage.parseForm`; its
 * errors have a `statusCode`, which Fastify answers with, and a `publicMessage`.
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
