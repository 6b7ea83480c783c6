// Every adapter responds alike over real HTTP.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { test } from 'node:test'
import { listening, mounts, type Storage } from './support/mounts.ts'

const md5 = (data: Uint8Array): string => createHash('md5').update(data).digest('base64')
const staged = async (storage: Storage): Promise<number> =>
  (await storage.delayedUploads.stats()).stagedBytes

for (const [name, mount] of Object.entries(mounts)) {
  test(`${name}: the handler responds below the mount point, the app everywhere else`, async (t) => {
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
    assert.deepEqual(
      [part.status, Buffer.from(await part.arrayBuffer())],
      [206, data.subarray(5, 9)],
    )
    const head = await fetch(proxy, { method: 'HEAD' })
    assert.deepEqual(
      [head.status, head.headers.get('content-length'), await head.text()],
      [200, '300000', ''],
    )
    const etag = head.headers.get('etag') ?? ''
    assert.equal((await fetch(proxy, { headers: { 'if-none-match': etag } })).status, 304)
    assert.equal((await fetch(`${url}${storage.basePath}/blobs/redirect/no/x`)).status, 404)
  })

  test(`${name}: a known path names its methods; an unknown path is 404 for each method`, async (t) => {
    const { storage, url } = await listening(t, mount)
    await storage.record('User', 1).photo.attach({ io: Buffer.from('x'), filename: 'a.txt' })
    const proxy = (await storage.record('User', 1).photo.attachment())?.path({ proxy: true }) ?? ''
    const staged = storage.stagedUploadPath('User.photo')
    for (const [path, allow, others] of [
      [proxy, 'GET, HEAD, OPTIONS', ['POST', 'PUT', 'PATCH', 'DELETE']],
      [staged, 'POST, DELETE, OPTIONS', ['GET', 'HEAD', 'PUT', 'PATCH']],
    ] as const) {
      for (const method of ['OPTIONS', ...others]) {
        const response = await fetch(`${url}${path}`, { method })
        assert.deepEqual(
          [response.status, response.headers.get('allow'), await response.text()],
          [method === 'OPTIONS' ? 204 : 405, allow, ''],
          method,
        )
      }
      // A body that a parser of the app has read, or nobody reads, changes nothing.
      const response = await fetch(`${url}${path}`, {
        method: 'PATCH',
        headers: { 'Content-Type': 'application/json' },
        body: '{}',
      })
      assert.deepEqual([response.status, response.headers.get('allow')], [405, allow])
    }
    for (const method of ['GET', 'OPTIONS', 'PATCH'])
      assert.equal((await fetch(`${url}${storage.basePath}/unknown`, { method })).status, 404)
  })

  test(`${name}: a browser's own uploads arrive, whichever parsers the app has`, async (t) => {
    const { storage, url } = await listening(t, mount)
    const data = randomBytes(200_000)
    const blob = {
      filename: 'a.bin',
      content_type: 'application/octet-stream',
      byte_size: data.length,
      checksum: md5(data),
    }
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
    assert.equal(
      (await fetch(`${url}${target.url}`, { method: 'PUT', headers: target.headers, body: data }))
        .status,
      204,
    )
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

  test(`${name}: a form is staged while it arrives; a refusal reaches a client that still sends`, async (t) => {
    const { storage, url } = await listening(t, mount)
    const form = new FormData()
    form.set('user[name]', 'Ada')
    form.set('user[photo]', new File(['photo'], 'a.txt', { type: 'text/plain' }))
    form.append('user[certificates][]', new File([randomBytes(700_000)], 'b.bin'))
    assert.equal(
      await (await fetch(`${url}/users`, { method: 'POST', body: form })).text(),
      'saved Ada',
    )
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

  test(`${name}: progress is streamed as it happens, and ends`, async (t) => {
    const { storage, url } = await listening(t, mount)
    const upload = await storage
      .record('User', 1)
      .photo.attachLater({ io: Buffer.from('x'), filename: 'x.txt' })
    const answer = await fetch(`${url}${upload?.path()}`, {
      headers: { accept: 'text/event-stream' },
    })
    // Else a middleware that compresses holds the events back until there are many.
    assert.equal(answer.headers.get('cache-control'), 'no-store, no-transform')
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

  test(`${name}: an absolute request target gets the same response as its path`, async (t) => {
    const { storage, port } = await listening(t, mount)
    await storage.record('User', 1).photo.attach({ io: Buffer.from('né'), filename: 'a.txt' })
    const photo = await storage.record('User', 1).photo.attachment()
    const socket = connect(port, '127.0.0.1').setEncoding('utf8')
    const target = `http://app.example${photo?.path({ proxy: true })}`
    socket.write(`GET ${target} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n`)
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    assert.match(answer, /^HTTP\/1\.1 200 .*né$/s)
  })

  test(`${name}: invalid requests are refused, and the process survives`, async (t) => {
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
