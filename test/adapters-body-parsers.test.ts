// Body parsers and hooks of an app do no harm to the paths below the mount point.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import fastifyMultipart from '@fastify/multipart'
import express from 'express'
import fastify, { type FastifyInstance } from 'fastify'
import { activeStorage } from '../src/http/adapters/express.ts'
import * as forFastify from '../src/http/adapters/fastify.ts'
import { nodeHandler } from '../src/http/adapters/node.ts'
import { listening, type Storage } from './support/mounts.ts'

const json = Buffer.from('{ "spaces":  "count" }')

/** Stages a file that looks like JSON, and gives its bytes as they were kept. */
async function stageJson(url: string, storage: Storage): Promise<{ status: number; body: string }> {
  const answer = await fetch(`${url}${storage.stagedUploadPath('User.certificates')}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Filename': 'a.json' },
    body: json,
  })
  if (answer.status !== 201) return { status: answer.status, body: await answer.text() }
  const { path } = (await answer.json()) as { path: string }
  return { status: 201, body: await (await fetch(`${url}${path}`)).text() }
}

async function app(
  t: TestContext,
  mount: (storage: Storage) => Promise<RequestListener> | RequestListener,
) {
  return listening(t, async (storage) => mount(storage))
}

test('a file that a JSON parser has read is refused, and not stored as something else', async (t) => {
  const { storage, url } = await app(t, (on) => express().use(express.json(), activeStorage(on)))
  const { status, body } = await stageJson(url, storage)
  assert.equal(status, 500)
  assert.match(body, /mount activestorage-delayed before the parsers of the app/)
})

test('bytes that a parser has kept are used', async (t) => {
  const raw = await app(t, (on) => express().use(express.raw({ type: '*/*' }), activeStorage(on)))
  assert.deepEqual(await stageJson(raw.url, raw.storage), { status: 201, body: json.toString() })
  // NestJS keeps the bytes like this with `rawBody: true`.
  const verify = (req: IncomingMessage, _res: ServerResponse, rawBody: Buffer): unknown =>
    Object.assign(req, { rawBody })
  const beside = await app(t, (on) => express().use(express.json({ verify }), activeStorage(on)))
  assert.deepEqual(await stageJson(beside.url, beside.storage), {
    status: 201,
    body: json.toString(),
  })
})

test('a body that was read and not kept is refused at once; an empty body passes', async (t) => {
  const { storage, url } = await app(t, (on) => {
    const handle = nodeHandler(on)
    return (req, res) => void req.resume().on('end', () => handle(req, res))
  })
  const { path, discardPath } = await (async () => {
    const staged = await storage.stage(new File(['x'], 'x.txt'), { for: 'User.photo' })
    const signedId = encodeURIComponent(staged.signedId)
    return { path: staged.path(), discardPath: `${storage.basePath}/staged_files/${signedId}` }
  })()
  assert.equal((await stageJson(url, storage)).status, 500)
  assert.equal((await fetch(`${url}${path}`)).status, 200)
  assert.equal((await fetch(`${url}${discardPath}`, { method: 'DELETE' })).status, 204)
  assert.equal((await fetch(`${url}${path}`)).status, 404)
})

test('JSON that announces a direct upload is understood, whichever parser has read it', async (t) => {
  for (const parser of [
    express.json(),
    express.text({ type: '*/*' }),
    express.raw({ type: '*/*' }),
  ]) {
    const { storage, url } = await app(t, (on) => express().use(parser, activeStorage(on)))
    const blob = {
      filename: 'é.txt',
      content_type: 'text/plain',
      byte_size: 1,
      checksum: 'nUQCjWcj7OcSUyUJD1q9gA==',
    }
    const answer = await fetch(`${url}${storage.directUploadPath('User.photo')}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ blob }),
    })
    assert.equal(answer.status, 200)
    assert.equal(((await answer.json()) as { filename: string }).filename, 'é.txt')
  }
})

async function fastifyOn(
  t: TestContext,
  prepare: (instance: FastifyInstance, storage: Storage) => Promise<unknown>,
) {
  const { storage } = await app(t, () => (_req, res) => void res.end())
  const instance = fastify()
  await prepare(instance, storage)
  await instance.ready()
  const server = createServer((req, res) => instance.routing(req, res)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { storage, instance, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

test('Fastify: responses have what hooks set, and inject works', async (t) => {
  const { storage, instance } = await fastifyOn(t, async (own, on) => {
    own.addHook(
      'onRequest',
      async (_request, reply) =>
        void reply.header('Access-Control-Allow-Origin', 'https://app.example'),
    )
    await own.register(forFastify.activeStorage(on))
  })
  const { headers, body } = await instance.inject(await pathOfPhoto(storage))
  assert.deepEqual([headers['access-control-allow-origin'], body], ['https://app.example', 'hello'])
})

async function pathOfPhoto(storage: Storage): Promise<string> {
  await storage.record('User', 1).photo.attach({ io: Buffer.from('hello'), filename: 'a.txt' })
  return (await storage.record('User', 1).photo.attachment())?.path({ proxy: true }) ?? ''
}

const multipart = (): FormData => {
  const form = new FormData()
  form.set('user[certificates][]', new File(['x'], 'x.bin'))
  return form
}

test('Fastify: works beside @fastify/multipart when that is registered first', async (t) => {
  const { storage, url } = await fastifyOn(t, async (own, on) => {
    await own.register(fastifyMultipart)
    await own.register(forFastify.activeStorage(on))
    own.post(
      '/ours',
      async (request) => (await forFastify.form(on, request, { model: 'User' })).hidden.length,
    )
    own.post('/theirs', async (request) => (await request.file())?.filename)
  })
  for (const [path, said] of [
    ['/ours', '1'],
    ['/theirs', 'x.bin'],
  ] as const)
    assert.equal(
      await (await fetch(`${url}${path}`, { method: 'POST', body: multipart() })).text(),
      said,
    )
  assert.equal((await stageJson(url, storage)).status, 201)
})

test('Fastify: a form that @fastify/multipart has read is refused with that reason', async (t) => {
  const { url } = await fastifyOn(t, async (own, on) => {
    await own.register(fastifyMultipart, { attachFieldsToBody: true })
    await own.register(forFastify.activeStorage(on))
    own.post('/ours', (request) =>
      forFastify.form(on, request, { model: 'User' }).catch((error: unknown) => String(error)),
    )
  })
  const answer = await fetch(`${url}/ours`, { method: 'POST', body: multipart() })
  assert.match(await answer.text(), /was read before: by another parser of forms/)
})
