// A client that still sends gets its refusal: over TCP, on every adapter, behind nginx.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { absent } from './support/required-services.ts'
import { freePort } from './support/free-port.ts'
import { listening, mounts } from './support/mounts.ts'
import { web } from './support/web.ts'
import { FORM, fileIn, headOf, statusesIn, tcpClient } from './support/tcp.ts'

const MB = 1024 ** 2
const piece = Buffer.alloc(MB, 'x')
const pieces = (count: number): Buffer[] => Array.from({ length: count }, () => piece)

for (const [name, mount] of Object.entries(mounts)) {
  test(`${name}: a client that sends all before it reads gets the refusal, and the connection closes`, async (t) => {
    const { storage, port } = await listening(t, mount)
    const form = fileIn('user[photo]')
    const end = '\r\n--b--\r\n'
    const length = form.length + 8 * MB + end.length
    for (const [line, headers, status] of [
      ['POST /users', { 'Content-Type': FORM }, '413'],
      [`PUT ${storage.basePath}/disk/nonsense`, {}, '404'],
      [
        `POST ${storage.stagedUploadPath('User.photo')}`,
        { 'Content-Type': 'text/plain', 'X-Filename': 'large.txt' },
        '413',
      ],
      [`POST ${storage.stagedUploadPath('User.photo')}`, { 'Content-Type': FORM }, '413'],
      [
        `POST ${storage.directUploadPath('User.photo')}`,
        { 'Content-Type': 'application/json' },
        '422',
      ],
    ] as const) {
      // Its parser of JSON comes first, and refuses by itself.
      if (name === 'express' && status === '422') continue
      const client = tcpClient(port)
      await client.send(
        headOf(line, { ...headers, 'Content-Length': length, Connection: 'close' }),
        form,
        ...pieces(8),
        end,
      )
      const heard = await client.heard()
      assert.deepEqual([statusesIn(heard), heard.error], [[status], null], line)
      client.socket.destroy()
    }
  })

  test(`${name}: a client that waits or sends too much gets the response at once, then the end`, async (t) => {
    const { storage, port } = await listening(t, mount, {
      authorize: (_: Request, { action }: { action: string }) => action === 'read',
    })
    const staged = `POST ${storage.stagedUploadPath('User.photo')}`
    const form = fileIn('user[photo]')
    const cases: readonly (readonly [
      line: string,
      headers: Record<string, string | number>,
      sent: readonly Uint8Array[],
      status: string,
    ])[] = [
      [
        'POST /users',
        { 'Content-Type': FORM, 'Content-Length': 100 * MB },
        [Buffer.from(form), ...pieces(2)],
        '413',
      ],
      [
        'POST /users',
        { 'Content-Type': FORM, 'Content-Length': 8 * MB, Expect: '100-continue' },
        [Buffer.from(form), ...pieces(2)],
        '413',
      ],
      [
        `PUT ${storage.basePath}/disk/nonsense`,
        { 'Content-Length': 8 * MB, Expect: '100-continue' },
        [],
        '404',
      ],
      [
        `PUT ${storage.basePath}/disk/nonsense`,
        { 'Content-Length': 100 * MB, Connection: 'close' },
        [],
        '404',
      ],
      // A refused request of a stranger is read up to 1 MB only.
      [staged, { 'Content-Length': 2 * MB, 'X-Filename': 'a.txt' }, [], '403'],
    ]
    for (const [line, headers, sent, status] of cases) {
      const client = tcpClient(port)
      await client.send(headOf(line, headers), ...sent)
      const heard = await client.heard()
      assert.deepEqual([statusesIn(heard), heard.error], [[status], null], line)
      // Ours is the end of one side: what still comes meets no reset.
      await client.send(piece)
      client.socket.end()
      await once(client.socket, 'close')
      assert.equal((await client.heard()).error, null, line)
    }
    // One who goes on is left after two seconds.
    if (name !== 'node') return
    const client = tcpClient(port)
    await client.send(
      headOf(`PUT ${storage.basePath}/disk/nonsense`, { 'Content-Length': 100 * MB }),
    )
    assert.deepEqual(statusesIn(await client.heard()), ['404'])
    const from = performance.now()
    while (!client.socket.destroyed) {
      await client.send('x')
      await delay(20)
    }
    assert.ok(performance.now() - from > 1500)
  })

  test(`${name}: an endless or slow body is read within the limits of afterRefusal`, async (t) => {
    const { port } = await listening(t, mount, {
      afterRefusal: { maxBytes: '1 MB', timeout: '50ms' },
    })
    const chunk = (data: string | Buffer): Buffer =>
      Buffer.concat([
        Buffer.from(`${data.length.toString(16)}\r\n`),
        Buffer.from(data),
        Buffer.from('\r\n'),
      ])
    const chunks = (count: number): Buffer[] => [
      chunk(fileIn('user[photo]')),
      ...pieces(count).map(chunk),
    ]
    for (const count of [2, 5]) {
      const client = tcpClient(port)
      await client.send(
        headOf('POST /users', { 'Content-Type': FORM, 'Transfer-Encoding': 'chunked' }),
        ...chunks(count),
      )
      const heard = await client.heard()
      assert.deepEqual([statusesIn(heard), heard.error], [['413'], null], `${count} MB`)
      client.socket.destroy()
    }
  })
}

/**
 * Ports of an nginx that has the location of our docs before each of these; a text: why there is
 * none.
 */
async function nginxBefore(t: TestContext, ports: readonly number[]): Promise<number[] | string> {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' })
  } catch {
    return absent('nginx', 'nginx is not installed') ?? 'nginx is not installed'
  }
  const docs = await readFile(new URL('../docs/frameworks/node.md', import.meta.url), 'utf8')
  const location =
    /```nginx\n(location [\s\S]*?)```/.exec(docs)?.[1] ??
    assert.fail('The docs have no location for nginx.')
  const folder = await mkdtemp(join(tmpdir(), 'nginx-'))
  const fronts: number[] = []
  for (const _ of [...ports, ...ports]) fronts.push(await freePort())
  const server = (front: number, port: number, text: string): string =>
    `server { listen 127.0.0.1:${front}; ${text.replace('127.0.0.1:3000', `127.0.0.1:${port}`)} }`
  // The second half closes each connection to the app, as nginx does where it is told nothing.
  const closing = location.replace(/^.*Connection.*\n/m, '')
  assert.notEqual(closing, location)
  const servers = fronts.map((front, index) =>
    server(front, ports[index % ports.length] ?? 0, index < ports.length ? location : closing),
  )
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (each) => `${each}_temp_path ${folder}/${each};`,
  )
  await writeFile(
    join(folder, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
     events {} http { access_log off; ${temporary.join(' ')} ${servers.join('\n')} }`,
  )
  const nginx = spawn(
    'nginx',
    ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')],
    { stdio: 'ignore' },
  )
  t.after(async () => {
    nginx.kill('SIGTERM')
    if (nginx.exitCode === null) await once(nginx, 'exit')
    await rm(folder, { recursive: true, force: true })
  })
  for (const front of fronts)
    while (!(await answers(front))) {
      if (nginx.exitCode !== null) return (await readFile(join(folder, 'error.log'), 'utf8')).trim()
      await delay(5)
    }
  return fronts
}

async function answers(port: number): Promise<boolean> {
  const { socket } = tcpClient(port)
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

test('a web handler reads a refused body to the same limits', async (t) => {
  const refuse = async (
    status: number,
    size: number,
    headers: Record<string, string>,
  ): Promise<number> => {
    const { storage } = await web(t, {
      afterRefusal: { maxBytes: '4 MB' },
      authorize: () => status !== 403,
    })
    let read = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        read += 1
        if (read > size) controller.close()
        else controller.enqueue(piece)
      },
    })
    const url = `http://app.test${status === 403 ? storage.stagedUploadPath('User.photo') : `${storage.basePath}/disk/nonsense`}`
    const init = {
      method: status === 403 ? 'POST' : 'PUT',
      body,
      headers: { 'X-Filename': 'a', ...headers },
      duplex: 'half',
    }
    assert.equal((await storage.handler(new Request(url, init as RequestInit))).status, status)
    return read
  }
  assert.equal(await refuse(404, 3, {}), 4)
  // The piece that was too much, and what a stream holds by itself.
  assert.ok((await refuse(404, 50, {})) <= 8)
  assert.ok((await refuse(403, 50, {})) <= 5)
  assert.ok((await refuse(404, 3, { 'content-length': String(5 * MB) })) <= 1)
  assert.ok((await refuse(404, 3, { expect: '100-continue' })) <= 1)
})

test('behind nginx a visitor gets 413, not 502, on every adapter', async (t) => {
  const names = Object.keys(mounts)
  const apps = await Promise.all(Object.values(mounts).map((mount) => listening(t, mount)))
  const fronts = await nginxBefore(
    t,
    apps.map(({ port }) => port),
  )
  if (typeof fronts === 'string') return t.skip(fronts)
  const body = new FormData()
  body.set(
    'user[photo]',
    new File([Buffer.alloc(8 * MB, 'x')], 'large.txt', { type: 'text/plain' }),
  )
  for (const [index, front] of fronts.entries()) {
    const name = names[index % names.length]
    // Several at once: what is lost is lost in a race.
    const uploads = Array.from({ length: index < names.length ? 1 : 4 }, async () => {
      const answer = await fetch(`http://127.0.0.1:${front}/users`, { method: 'POST', body })
      return [answer.status, await answer.text()] as const
    })
    for (const each of await Promise.all(uploads))
      assert.deepEqual(each, [413, 'FILE_TOO_LARGE'], name)
    // More than is read on: the answer comes at once.
    const client = tcpClient(front)
    await client.send(
      headOf('POST /users', { 'Content-Type': FORM, 'Content-Length': 100 * MB }),
      fileIn('user[photo]'),
      ...pieces(4),
    )
    const heard = await client.heard()
    assert.deepEqual([statusesIn(heard), heard.error], [['413'], null], name)
    client.socket.destroy()
  }
})
