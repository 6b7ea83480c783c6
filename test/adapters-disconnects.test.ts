// Clients that leave, do not read, or send refused data cost nothing more than themselves.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import type { ActiveStorageError } from '../src/index.ts'
import { listening, mounts, type Storage } from './support/mounts.ts'

const MB = 1024 ** 2

async function largeFile(storage: Storage, size: number): Promise<string> {
  await storage
    .record('User', 1)
    .certificates.attach({ io: Buffer.alloc(size), filename: 'large.bin' })
  const [large] = await storage.record('User', 1).certificates.attachments()
  return large?.path({ proxy: true }) ?? ''
}

/** Resolves with the next answer of the handler. */
function nextAnswer(storage: Storage): Promise<Response> {
  const { promise, resolve } = Promise.withResolvers<Response>()
  const { handler } = storage
  Object.assign(storage, {
    handler: async (request: Request) =>
      handler(request).then((answer) => (resolve(answer), answer)),
  })
  return promise
}

/** The next connection to the server, as the server has it. */
async function connection(server: NodeJS.EventEmitter): Promise<Socket> {
  const [socket] = (await once(server, 'connection')) as [Socket]
  return socket
}

function sendPart(url: string, options: RequestOptions, part: Uint8Array) {
  const request = httpRequest(url, options).on('error', () => undefined)
  request.write(part)
  return request
}

for (const [name, mount] of Object.entries(mounts)) {
  test(`${name}: a client that does not read uses little memory; one that leaves ends the work`, async (t) => {
    const { storage, watch, url } = await listening(t, mount)
    const size = 64 * MB
    const path = await largeFile(storage, size)
    const request = httpRequest(`${url}${path}`).end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    await once(response, 'readable')
    // Another client reads the whole file meanwhile.
    assert.equal((await (await fetch(`${url}${path}`)).arrayBuffer()).byteLength, size)
    const [idle, whole] = watch.downloads
    assert.equal(whole?.pulled, size / 65_536)
    assert.ok(
      (idle?.pulled ?? 0) < size / 65_536 / 2,
      `${idle?.pulled} pieces were read for a client that reads none`,
    )
    request.destroy()
    await idle?.ended
  })

  test(`${name}: a client that leaves before its response begins ends the work too`, async (t) => {
    const { storage, server, watch, url } = await listening(t, mount)
    const path = await largeFile(storage, MB)
    const { promise, resolve: goOn } = Promise.withResolvers<void>()
    watch.mayGoOn = promise
    const connected = connection(server)
    const request = httpRequest(`${url}${path}`, { agent: false }).on('error', () => undefined)
    request.end()
    const socket = await connected
    await watch.begun.promise
    const closed = once(socket, 'close')
    request.destroy()
    await closed
    goOn()
    await watch.downloads[0]?.ended
    assert.ok((watch.downloads[0]?.pulled ?? 99) < 5)
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
    const request = httpRequest(`${url}/users`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
    })
    request.on('error', () => undefined)
    request.write(
      '--x\r\ncontent-disposition: form-data; name="user[certificates][]"; filename="a.bin"\r\n\r\n',
    )
    request.write(Buffer.alloc(1_500_000))
    await received.promise
    while ((await chunks()) === 0) await new Promise((resolve) => setImmediate(resolve))
    request.destroy()
    assert.equal(((await failed.promise) as ActiveStorageError).code, 'INVALID_INPUT')
    assert.equal((await storage.delayedUploads.list()).length, 0)
    await storage.sweep()
    assert.equal(await chunks(), 0)
  })

  test(`${name}: an upload from the page that breaks off leaves nothing`, async (t) => {
    const { storage, chunks, url } = await listening(t, mount)
    const staging = nextAnswer(storage)
    const headers = { 'content-type': 'application/octet-stream', 'x-filename': 'a.bin' }
    const request = sendPart(
      `${url}${storage.stagedUploadPath('User.certificates')}`,
      { method: 'POST', headers },
      Buffer.alloc(1_500_000),
    )
    while ((await chunks()) === 0) await new Promise((resolve) => setImmediate(resolve))
    request.destroy()
    assert.equal((await staging).status, 422)
    await storage.sweep()
    assert.equal(await chunks(), 0)
  })

  test(`${name}: a direct upload that breaks off can be sent again`, async (t) => {
    const { storage, server, url } = await listening(t, mount)
    const data = Buffer.alloc(3 * MB, 'x')
    const checksum = createHash('md5').update(data).digest('base64')
    const announced = await fetch(`${url}${storage.directUploadPath('User.certificates')}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        blob: {
          filename: 'a.bin',
          content_type: 'application/x-bin',
          byte_size: data.length,
          checksum,
        },
      }),
    })
    const { direct_upload: target } = (await announced.json()) as {
      direct_upload: { url: string; headers: Record<string, string> }
    }
    const storing = nextAnswer(storage)
    const connected = connection(server)
    const headers = { ...target.headers, 'content-length': data.length }
    const request = sendPart(
      `${url}${target.url}`,
      { method: 'PUT', headers, agent: false },
      data.subarray(0, MB),
    )
    const socket = await connected
    while (socket.bytesRead < MB) await new Promise((resolve) => setImmediate(resolve))
    request.destroy()
    assert.ok((await storing).status >= 400)
    // Longer than a parser of bodies, or Fastify, lets one be.
    assert.equal(
      (await fetch(`${url}${target.url}`, { method: 'PUT', headers: target.headers, body: data }))
        .status,
      204,
    )
  })

  test(`${name}: a client that sends everything before it reads gets the refusal`, async (t) => {
    const { storage, port } = await listening(t, mount)
    const socket = connect(port, '127.0.0.1').setEncoding('utf8')
    socket.write(
      `PUT ${storage.basePath}/disk/nonsense HTTP/1.1\r\nHost: x\r\nContent-Length: ${32 * MB}\r\n\r\n`,
    )
    for (let sent = 0; sent < 32; sent += 1)
      if (!socket.write(Buffer.alloc(MB))) await once(socket, 'drain')
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    assert.match(answer, /^HTTP\/1\.1 404 .*HTTP\/1\.1 200 .*the app/s)
  })
}
