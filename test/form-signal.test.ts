// `parseForm` with an AbortSignal: it ends at once, and no file stays.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { web } from './support/web.ts'

const first = `--b\r\ncontent-disposition: form-data; name="user[certificates][]"; filename="a.txt"\r\n\r\nwhole\r\n`
const second = `--b\r\ncontent-disposition: form-data; name="user[certificates][]"; filename="b.txt"\r\n\r\npart`
const type = 'multipart/form-data; boundary=b'

const rowsOf = "select state from activestorage_delayed_files where state <> 'dropped'"

async function isStaged(query: (sql: string) => Promise<readonly object[]>): Promise<void> {
  while ((await query(`${rowsOf} and filename = 'a.txt' and state = 'staged'`)).length === 0)
    await setImmediate()
}

test('a signal that is aborted before the form is read leaves the body unread', async (t) => {
  const { storage, query } = await web(t)
  const reason = new Error('stop')
  const request = new Request('http://app.test/', {
    method: 'POST',
    headers: { 'Content-Type': type },
    body: `${first}--b--\r\n`,
  })
  await assert.rejects(
    storage.parseForm(request, { model: 'User', signal: AbortSignal.abort(reason) }),
    (error) => error === reason,
  )
  assert.equal(request.bodyUsed, false)
  assert.deepEqual(await query(rowsOf), [])
})

test('an aborted signal ends a form whose client has stopped sending, and discards its files', async (t) => {
  const { storage, query } = await web(t)
  for (const reason of [new Error('stop'), 'only a text']) {
    const abort = new AbortController()
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from(first + second)),
    })
    const init = { method: 'POST', headers: { 'Content-Type': type }, body, duplex: 'half' }
    const parsing = storage.parseForm(new Request('http://app.test/', init), {
      model: 'User',
      signal: abort.signal,
    })
    await isStaged(query)
    abort.abort(reason)
    await assert.rejects(parsing, (error) => error === reason)
    assert.deepEqual(await query(rowsOf), [])
  }
})

test("Node's connection is closed after the response to an aborted form", async (t) => {
  const { storage, query } = await web(t)
  const abort = new AbortController()
  const server = createServer((req, res) => {
    storage.parseForm(req, { model: 'User', signal: abort.signal }).then(
      () => assert.fail(),
      (error: unknown) => res.writeHead(503).end(String(error)),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').setEncoding('utf8')
  socket.write(
    `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 1000\r\n\r\n${first}${second}`,
  )
  await isStaged(query)
  abort.abort(new Error('stop'))
  let response = ''
  for await (const chunk of socket) response += String(chunk)
  assert.match(response, /^HTTP\/1\.1 503 .*Error: stop/s)
  assert.deepEqual(await query(rowsOf), [])
})
