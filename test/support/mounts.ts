// An app in each framework with its adapter, on a service that tests can watch.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { sqlite } from '../../src/database/sqlite.ts'
import * as forExpress from '../../src/http/adapters/express.ts'
import * as forFastify from '../../src/http/adapters/fastify.ts'
import * as forHono from '../../src/http/adapters/hono.ts'
import { nodeHandler } from '../../src/http/adapters/node.ts'
import {
  ActiveStorageError,
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
} from '../../src/index.ts'
import type { Service } from '../../src/adapters.ts'
import { memory } from '../../src/services/memory.ts'

/** A download as the service sees it. */
interface Download {
  /** Pieces of 64 KiB that were asked for. */
  pulled: number
  /** All was read, or it was given up. */
  readonly ended: Promise<void>
}

function watched() {
  const inner = memory()
  const watch = {
    downloads: [] as Download[],
    begun: Promise.withResolvers<void>(),
    mayGoOn: Promise.resolve(),
  }
  const service: Service = {
    ...inner,
    async download(key, options) {
      const chunks = await inner.download(key, options)
      const { promise: ended, resolve: end } = Promise.withResolvers<void>()
      const download: Download = { pulled: 0, ended }
      watch.downloads.push(download)
      return (async function* () {
        try {
          watch.begun.resolve()
          await watch.mayGoOn
          for await (const chunk of chunks)
            for (let at = 0; at < chunk.length; at += 65_536) {
              download.pulled += 1
              yield chunk.subarray(at, at + 65_536)
            }
        } finally {
          end()
        }
      })()
    },
  }
  return { service, watch }
}

function storageOf(t: TestContext, options: object) {
  const { service, watch } = watched()
  const database = sqlite(':memory:')
  const storage = createActiveStorage({
    database,
    services: { local: service },
    secretKeyBase: 'only for this test',
    models: {
      User: {
        photo: hasOneAttached({ maxSize: '1 MB', accept: ['image/*', 'text/plain'] }),
        certificates: hasManyAttached(),
      },
    },
    logger: false,
    ...options,
  })
  t.after(() => storage.close())
  const chunks = async (): Promise<number> =>
    Number(
      (await database.executor.run('select count(*) as n from activestorage_delayed_chunks', []))
        .rows[0]?.['n'],
    )
  return { storage, watch, chunks }
}
export type Storage = ReturnType<typeof storageOf>['storage']
export type Mount = (storage: Storage) => Promise<RequestListener>

const saved = async (
  storage: Storage,
  { values, files }: Awaited<ReturnType<Storage['parseForm']>>,
): Promise<string> => {
  await storage.record('User', 1).attachLater(files as never)
  return `saved ${String(values['name'])}`
}

/** Each answers `POST /users` with a form, and `GET /`. */
export const mounts: Readonly<Record<string, Mount>> = {
  async node(storage) {
    const handle = nodeHandler(storage)
    return (req, res) =>
      handle(req, res, () => {
        if (req.url !== '/users') return void res.end('the app')
        storage.parseForm(req, { model: 'User' }).then(
          async (form) => res.end(await saved(storage, form)),
          (error: ActiveStorageError) => res.writeHead(error.statusCode).end(error.code),
        )
      })
  },
  async express(storage) {
    const app = express()
    // Many apps have a JSON parser before everything.
    app.use(express.json())
    app.use(forExpress.activeStorage(storage))
    app.post('/users', forExpress.form(storage, { model: 'User' }), async (req, res) => {
      assert.equal(req.body, req.form?.values)
      res.send(await saved(storage, req.form ?? assert.fail()))
    })
    app.get('/', (_req, res) => void res.send('the app'))
    app.use(
      (
        error: ActiveStorageError,
        _req: express.Request,
        res: express.Response,
        _next: express.NextFunction,
      ) => {
        res.status(error.statusCode).send(error.code)
      },
    )
    return app
  },
  async 'express, mounted'(storage) {
    const app = express()
    app.use(storage.basePath, forExpress.activeStorage(storage))
    app.post('/users', async (req, res) => {
      const form = await storage
        .parseForm(req, { model: 'User' })
        .catch((error: ActiveStorageError) => error)
      if (form instanceof ActiveStorageError) res.status(form.statusCode).send(form.code)
      else res.send(await saved(storage, form))
    })
    app.get('/', (_req, res) => void res.send('the app'))
    return app
  },
  async fastify(storage) {
    const app = fastify()
    await app.register(forFastify.activeStorage(storage))
    app.post('/users', async (request) =>
      saved(storage, await forFastify.form(storage, request, { model: 'User' })),
    )
    app.get('/', async () => 'the app')
    app.setErrorHandler<ActiveStorageError>((error, _request, reply) =>
      reply.status(error.statusCode).send(error.code),
    )
    await app.ready()
    return (req, res) => app.routing(req, res)
  },
  async hono(storage) {
    const app = new Hono()
    app.use(forHono.activeStorage(storage))
    app.post('/users', forHono.form(storage, { model: 'User' }), async (c) =>
      c.text(await saved(storage, c.var.form)),
    )
    app.get('/', (c) => c.text('the app'))
    app.onError((error, c) =>
      c.text((error as ActiveStorageError).code, (error as ActiveStorageError).statusCode as 422),
    )
    return getRequestListener(app.fetch)
  },
}

/** An app on a port of its own, until the test ends. */
export async function listening(t: TestContext, mount: Mount, options: object = {}) {
  const { storage, watch, chunks } = storageOf(t, options)
  await storage.migrate()
  const server: Server = createServer(await mount(storage))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { storage, server, watch, chunks, port, url: `http://127.0.0.1:${port}` }
}
