import type { HttpContext } from '@adonisjs/core/http'
import type { NextFn } from '@adonisjs/core/types/http'
import { nodeHandler } from 'activestorage-delayed/node'
import { storage } from '#services/storage'

const serve = nodeHandler(storage)

/** Answers what is below `storage.basePath`, on Node's own request and response. */
export default class StorageMiddleware {
  handle({ request, response }: HttpContext, next: NextFn): Promise<void> {
    return new Promise((resolve) => {
      response.response.once('close', resolve)
      serve(request.request, response.response, () => resolve(next()))
    })
  }
}
