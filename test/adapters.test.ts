// Every adapter over real HTTP: the same is answered, and a client that leaves costs nothing more.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { sqlite } from '../src/database/sqlite.ts'
import * as forExpress from '../src/http/adapters/express.ts'
import * as forFastify from '../src/http/adapters/fastify.ts'
import * as forHono from '../src/http/adapters/hono.ts'
import { nodeHandler } from '../src/http/adapters/node.ts'
import { ActiveStorageError, createActiveStorage, hasManyAttached, hasOneAttached, type Service } from '../src/index.ts'
import { memory } from '../src/services/memory.ts'

/** Downloads that can be watched: how much was asked for, and whether it was given up. */
function watched() {
  const inner = memory()
  const ended = Promise.withResolvers<void>()
  const watch = { pulled: 0, ended: ended.promise }
  const service: Service = {
    ...inner,
    async download(key, options) {
      const chunks = await inner.download(key, options)
      return (async function* () {
        try {
          for await (const chunk of chunks)
            for (let at = 0; at < chunk.length; at += 65_536) {
              watch.pulled += 1
              yield chunk.subarray(at, at + 65_536)
            }
        } finally {
          ended.resolve()
        }
      })()
    },
  }
  return { service, watch }
}

function storageOf(t: TestContext) {
  const { service, watch } = watched()
  const database = sqlite(':memory:')
  const storage = createActiveStorage({
    database,
    services: { local: service },
    secretKeyBase: 'only for this test',
    models: { User: { photo: hasOneAttached({ maxSize: '1 MB', accept: ['image/*', 'text/plain'] }), certificates: hasManyAttached() } },
    logger: false,
  })
  t.after(() => storage.close())
  const chunks = async (): Promise<number> =>
    Number((await database.executor.run('select count(*) as n from activestorage_delayed_chunks', [])).rows[0]?.['n'])
  return { storage, watch, chunks }
}
type Storage = ReturnType<typeof storageOf>['storage']
type Mount = (storage: Storage) => Promise<RequestListener>

const saved = async (storage: Storage, { values, files }: Awaited<ReturnType<Storage['parseForm']>>): Promise<string> => {
  await storage.record('User', 1).attachLater(files as never)
  return `saved ${String(values['name'])}`
}

const mounts: Readonly<Record<string, Mount>> = {
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
    // As many apps have it: a JSON parser before everything.
    app.use(express.json())
    app.use(forExpress.activeStorage(storage))
    app.post('/users', forExpress.form(storage, { model: 'User' }), async (req, res) => {
      assert.equal(req.body, req.form?.values)
      res.send(await saved(storage, req.form ?? assert.fail()))
    })
    app.get('/', (_req, res) => void res.send('the app'))
    app.use((error: ActiveStorageError, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
      res.status(error.statusCode).send(error.code)
    })
    return app
  },
  async 'express, mounted'(storage) {
    const app = express()
    app.use(storage.basePath, forExpress.activeStorage(storage))
    app.post('/users', async (req, res) => {
      const form = await storage.parseForm(req, { model: 'User' }).catch((error: ActiveStorageError) => error)
      if (form instanceof ActiveStorageError) res.status(form.statusCode).send(form.code)
      else res.send(await saved(storage, form))
    })
    app.get('/', (_req, res) => void res.send('the app'))
    return app
  },
  async fastify(storage) {
    const app = fastify()
    await app.register(forFastify.activeStorage(storage))
    app.post('/users', async (request) => saved(storage, await forFastify.form(storage, request, { model: 'User' })))
    app.get('/', async () => 'the app')
    app.setErrorHandler<ActiveStorageError>((error, _request, reply) => reply.status(error.statusCode).send(error.code))
    await app.ready()
    return (req, res) => app.routing(req, res)
  },
  async hono(storage) {
    const app = new Hono()
    app.use(forHono.activeStorage(storage))
    app.post('/users', forHono.form(storage, { model: 'User' }), async (c) => c.text(await saved(storage, c.var.form)))
    app.get('/', (c) => c.text('the app'))
    app.onError((error, c) => c.text((error as ActiveStorageError).code, (error as ActiveStorageError).statusCode as 422))
    return getRequestListener(app.fetch)
  },
}

async function listening(t: TestContext, mount: Mount) {
  const { storage, watch, chunks } = storageOf(t)
  await storage.migrate()
  const server: Server = createServer(await mount(storage))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { storage, watch, chunks, port, url: `http://127.0.0.1:${port}` }
}

const md5 = (data: Uint8Array): string => createHash('md5').update(data).digest('base64')
const staged = async (storage: Storage): Promise<number> => (await storage.delayedUploads.stats()).stagedBytes

for (const [name, mount] of Object.entries(mounts)) {
  test(`${name}: what is below the mount point is answered, the rest is the app's`, async (t) => {
    const { storage, url } = await listening(t, mount)
    assert.equal(await (await fetch(`${url}/`)).text(), 'the app')
    const data = randomBytes(300_000)
    await storage.record('User', 1).photo.attach({ io: Buffer.from('né'), filename: 'né a.txt' })
    await storage.record('User', 1).certificates.attach({ io: data, filename: 'large.bin' })
    const [large] = await storage.record('User', 1).certificates.attachments()
    const photo = await storage.record('User', 1).photo.attachment()
    assert.equal(await (await fetch(`${url}${photo?.path()}`)).text(), 'né')
    const proxy = `${url}${large?.path({ proxy: true })}`
    assert.deepEqual(Buffer.from(await (await fetch(proxy)).arrayBuffer()), data)
    const part = await fetch(proxy, { headers: { range: 'bytes=5-8' } })
    assert.deepEqual([part.status, Buffer.from(await part.arrayBuffer())], [206, data.subarray(5, 9)])
    const head = await fetch(proxy, { method: 'HEAD' })
    assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '300000', ''])
    const etag = head.headers.get('etag') ?? ''
    assert.equal((await fetch(proxy, { headers: { 'if-none-match': etag } })).status, 304)
    assert.equal((await fetch(`${url}${storage.basePath}/blobs/redirect/no/x`)).status, 404)
    assert.equal((await fetch(proxy, { method: 'DELETE' })).status, 405)
  })

  test(`${name}: a browser's own uploads come through, whatever parsers there are`, async (t) => {
    const { storage, url } = await listening(t, mount)
    const data = randomBytes(200_000)
    const blob = { filename: 'a.bin', content_type: 'application/octet-stream', byte_size: data.length, checksum: md5(data) }
    const announced = await fetch(`${url}${storage.directUploadPath('User.certificates')}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ blob }),
    })
    assert.equal(announced.status, 200)
    const { signed_id: signedId, direct_upload: target } = (await announced.json()) as {
      signed_id: string
      direct_upload: { url: string; headers: Record<string, string> }
    }
    assert.equal((await fetch(`${url}${target.url}`, { method: 'PUT', headers: target.headers, body: data })).status, 204)
    await storage.record('User', 1).certificates.attach(signedId)
    const [attached] = await storage.record('User', 1).certificates.attachments()
    assert.deepEqual(await attached?.download(), data)

    const sent = await fetch(`${url}${storage.stagedUploadPath('User.photo')}`, {
      method: 'POST',
      headers: { 'Content-Type': 'text/plain', 'X-Filename': 'n%C3%A9.txt' },
      body: 'hello',
    })
    const { filename, path, discardPath } = (await sent.json()) as Record<string, string>
    assert.deepEqual([sent.status, filename], [201, 'né.txt'])
    assert.equal(await (await fetch(`${url}${path}`)).text(), 'hello')
    assert.equal((await fetch(`${url}${discardPath}`, { method: 'DELETE' })).status, 204)
    assert.equal((await fetch(`${url}${path}`)).status, 404)
  })

  test(`${name}: a form is staged as it streams in; one that is refused is told why, though its client is still sending`, async (t) => {
    const { storage, url } = await listening(t, mount)
    const form = new FormData()
    form.set('user[name]', 'Ada')
    form.set('user[photo]', new File(['photo'], 'a.txt', { type: 'text/plain' }))
    form.append('user[certificates][]', new File([randomBytes(700_000)], 'b.bin'))
    assert.equal(await (await fetch(`${url}/users`, { method: 'POST', body: form })).text(), 'saved Ada')
    assert.equal((await storage.delayedUploads.list()).length, 2)
    await storage.drain()
    for (const [file, code] of [
      [new File([randomBytes(8_000_000)], 'large.txt'), 'FILE_TOO_LARGE'],
      [new File(['%PDF-1.4'], 'a.pdf'), 'FILE_TYPE_NOT_ACCEPTED'],
    ] as const) {
      const refused = new FormData()
      refused.append('user[certificates][]', new File(['x'], 'x'))
      refused.set('user[photo]', file)
      const answer = await fetch(`${url}/users`, { method: 'POST', body: refused })
      assert.equal(await answer.text(), code)
      assert.equal(answer.status, code === 'FILE_TOO_LARGE' ? 413 : 415)
    }
    assert.equal(await staged(storage), 0)
  })

  test(`${name}: progress streams as it happens, and ends`, async (t) => {
    const { storage, url } = await listening(t, mount)
    const upload = await storage.record('User', 1).photo.attachLater({ io: Buffer.from('x'), filename: 'x.txt' })
    const answer = await fetch(`${url}${upload?.path()}`, { headers: { accept: 'text/event-stream' } })
    let text = ''
    const seen = Promise.withResolvers<void>()
    const reading = (async () => {
      for await (const chunk of answer.body ?? []) {
        text += Buffer.from(chunk).toString()
        if (text.includes('pending')) seen.resolve()
      }
    })()
    await seen.promise
    await storage.drain()
    await reading
    assert.match(text, /"state":"pending".*"state":"attached"/s)
  })

  test(`${name}: a client that does not read holds little, and one that leaves ends the work`, async (t) => {
    const { storage, watch, url } = await listening(t, mount)
    const size = 64 * 1024 * 1024
    await storage.record('User', 1).certificates.attach({ io: Buffer.alloc(size), filename: 'large.bin' })
    const [large] = await storage.record('User', 1).certificates.attachments()
    const request = httpRequest(`${url}${large?.path({ proxy: true })}`).end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    await once(response, 'readable')
    request.destroy()
    await watch.ended
    assert.ok(watch.pulled < size / 65_536 / 2, `${watch.pulled} chunks were read for a client that reads none`)
  })

  test(`${name}: a form that breaks off leaves nothing`, async (t) => {
    const { storage, chunks, url } = await listening(t, mount)
    const received = Promise.withResolvers<void>()
    const parse = storage.parseForm.bind(storage)
    const failed = Promise.withResolvers<unknown>()
    Object.assign(storage, {
      parseForm: (...given: Parameters<typeof parse>) => {
        received.resolve()
        const parsing = parse(...given)
        parsing.catch(failed.resolve)
        return parsing
      },
    })
    const request = httpRequest(`${url}/users`, { method: 'POST', headers: { 'content-type': 'multipart/form-data; boundary=x' } })
    request.on('error', () => undefined)
    request.write('--x\r\ncontent-disposition: form-data; name="user[certificates][]"; filename="a.bin"\r\n\r\n')
    request.write(Buffer.alloc(1_500_000))
    await received.promise
    while ((await chunks()) === 0) await new Promise((resolve) => setImmediate(resolve))
    request.destroy()
    assert.equal(((await failed.promise) as ActiveStorageError).code, 'INVALID_INPUT')
    assert.equal((await storage.delayedUploads.list()).length, 0)
    await storage.sweep()
    assert.equal(await chunks(), 0)
  })

  test(`${name}: nonsense is refused, and the process lives`, async (t) => {
    const { storage, port, url } = await listening(t, mount)
    for (const line of [
      `GET ${storage.basePath}/blobs/redirect/x/y HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n`,
      `GET ${storage.basePath}/%zz/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      `PUT ${storage.basePath}/disk/../../etc HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      `PATCH ${storage.basePath}/direct_uploads HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    ]) {
      const socket = connect(port, '127.0.0.1').setEncoding('utf8')
      socket.write(line)
      let answer = ''
      for await (const chunk of socket) answer += String(chunk)
      assert.match(answer, /^HTTP\/1\.1 4\d\d /, line)
    }
    assert.equal(await (await fetch(`${url}/`)).text(), 'the app')
  })
}
