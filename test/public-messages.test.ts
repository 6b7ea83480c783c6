// An error has two messages: a complete one for the log, a safe one for visitors.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { inspect } from 'node:util'
import fastify from 'fastify'
import { Hono } from 'hono'
import * as forFastify from '../src/http/adapters/fastify.ts'
import * as forHono from '../src/http/adapters/hono.ts'
import * as all from '../src/index.ts'
import {
  ActiveStorageError,
  FileTooLargeError,
  StagingOffsetError,
  hasManyAttached,
  publicErrorOf,
  ServiceError,
  type UploadSnapshot,
} from '../src/index.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { fresh, text } from './support/storage.ts'
import { asking, web } from './support/web.ts'
import { ConfigurationError, FormLimitError } from '../src/index.ts'

after(() => closeDatabases())

const SECRET = 'select * from users where token = $1 -- bucket-7 /var/key'
/** Matches text that no visitor may read. */
const internal = /select |bucket-7|\/var|User 1|User\./

interface Logged {
  readonly message: string
  readonly details: Record<string, unknown>
}
function log() {
  const lines: Logged[] = []
  const say = (message: string, details: Record<string, unknown>): void =>
    void lines.push({ message, details })
  return { lines, logger: { debug: say, info: say, warn: say, error: say } }
}

for (const kind of kinds)
  test(`${kind.name}: a visitor never sees the log's message of a failure, not even an old one`, async (t) => {
    const { lines, logger } = log()
    const models = { User: { docs: hasManyAttached() } }
    const app = await fresh(t, kind, models, {
      logger,
      retries: { attempts: 2, minDelay: '1h', maxDelay: '1h' },
    })
    if (app === null) return
    const execute = (sql: string) => app.made.database.executor.run(sql, [])
    const ask = asking(app.storage)
    const { docs } = app.storage.record('User', 1)
    const upload = (await docs.attachLater([text('a'), text('bad')])) ?? assert.fail()
    app.service.upload = (_key, _body, { byteSize }) =>
      Promise.reject(byteSize === 1 ? new Error(SECRET) : new all.InvariableError(SECRET))
    const shown = async () => {
      const snapshot = (await ask(upload.path())).json() as unknown as UploadSnapshot
      const [value] = await docs.delayedUploads()
      const asJson = JSON.parse(JSON.stringify(value)) as UploadSnapshot
      assert.deepEqual(
        [asJson.lastError, ...asJson.files.map((file) => file.lastError)],
        [snapshot.lastError, ...snapshot.files.map((file) => file.lastError)],
      )
      assert.ok(
        value?.lastError?.startsWith(SECRET) === true && value.publicError === snapshot.lastError,
      )
      assert.doesNotMatch(JSON.stringify([snapshot, asJson]), internal)
      return snapshot.files.map((file) => file.lastError)
    }
    const choose = 'bad.txt cannot be read as an image. Choose another one, such as a JPEG or PNG.'
    await app.storage.drain()
    await execute('update activestorage_delayed_uploads set run_at = 0')
    assert.deepEqual(await shown(), [
      'a.txt could not be stored yet. It is tried again by itself.',
      choose,
    ])
    await app.storage.drain()
    const [stuck, other] = await shown()
    const reference = /^a\.txt could not be stored\. It is kept: .* Reference: (\w{8})\.$/.exec(
      stuck ?? '',
    )?.[1]
    assert.equal(other, choose)
    const [last] = lines.filter(({ details }) => details['reference'] === reference)
    assert.ok(last?.message.includes(SECRET) && reference !== undefined)

    await execute('update activestorage_delayed_files set public_error = null')
    const kept = 'could not be stored. It is kept: those who run this site can try it again.'
    assert.deepEqual(await shown(), [`a.txt ${kept}`, `bad.txt ${kept}`])
    await (await docs.delayedUploads())[0]?.retry()
    assert.deepEqual(
      ((await ask(upload.path())).json()['files'] as UploadSnapshot['files']).map(
        (file) => file.lastError,
      ),
      [null, null],
    )
  })

test('a visitor gets the file, the limit and what to do; the log gets everything', async (t) => {
  const { lines, logger } = log()
  const app = await web(t, { logger })
  const send = (name: string, type: string, body: BodyInit) =>
    app.ask(app.storage.stagedUploadPath('User.photo'), {
      method: 'POST',
      headers: { 'content-type': type, 'x-filename': encodeURIComponent(name) },
      body,
    })
  const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ', 'base64')
  const large = await send('né.png', 'image/png', Buffer.concat([png, Buffer.alloc(1 << 20)]))
  assert.deepEqual(
    [large.status, large.json()],
    [413, { error: 'né.png is larger than 1 MB. Choose a smaller one.', code: 'FILE_TOO_LARGE' }],
  )
  assert.match(
    lines.at(-1)?.message ?? '',
    /né\.png is larger than the 1 MB \(1048576 bytes\) allowed for photo/,
  )
  const other = await send('a.pdf', 'application/pdf', '%PDF-1.7')
  assert.deepEqual(
    [other.status, other.json()['error']],
    [415, 'a.pdf is of a type that is not accepted here. Accepted: images, TXT.'],
  )
})

test('a mistake of the app has a reference, and nothing that a visitor entered fills the log', async (t) => {
  const { storage, user } = await web(t)
  const form = (...parts: readonly [string, string | File][]) => {
    const body = new FormData()
    for (const [name, value] of parts) body.append(name, value)
    return new Request('http://app.test/users', { method: 'POST', body })
  }
  const read = (request: Request) => storage.parseForm(request, { model: 'User' })
  const used = form(['user[name]', 'Ada'])
  await used.formData()
  const long = 'x'.repeat(400)
  const mistakes: readonly [string, () => Promise<unknown>, RegExp][] = [
    [
      'unknown attachment',
      () => read(form(['user[avatar]', new File(['x'], 'a.png')])),
      /user\[photo\]/,
    ],
    ['unknown part', () => read(form([`user[photo][${long}]`, 'x'])), /its parts are files/],
    [
      'hostile names',
      () =>
        read(
          form(['user[password]', 'secret'], [`user[${long}]`, new File(['x'], `\n${long}.png`)]),
        ),
      /user\[photo\]/,
    ],
    ['a body that was read', () => read(used), /was read before/],
    [
      'a path of a form',
      () => user.attachLater({ photo: { files: [{ path: 'a' }], clean_before: '' } } as never),
      /\{ path \}/,
    ],
    [
      'an unknown key',
      () => user.attachLater({ photo: { files: [], [long]: 1 } } as never),
      /Unknown key/,
    ],
  ]
  for (const [name, made, message] of mistakes) {
    const error = await made().then(
      () => assert.fail(name),
      (thrown: unknown) => thrown as ActiveStorageError,
    )
    const shown = publicErrorOf(error)
    assert.deepEqual([shown.statusCode, shown.code], [422, 'INVALID_INPUT'], name)
    assert.match(shown.message, /^Something went wrong on our side\..* Reference: \w{8}\.$/, name)
    assert.match(error.message, message, name)
    assert.ok(error.message.length < 400 && !/\p{Cc}/u.test(error.message), error.message)
    assert.doesNotMatch(inspect(error), /secret|values/, name)
  }
})

test('what a client sent wrong has no reference', async (t) => {
  const { storage } = await web(t)
  const body = new FormData()
  body.append('user[photo]', new File(['x'.repeat(100)], 'a.png'))
  const whole = new Response(body)
  const headers = { 'content-type': whole.headers.get('content-type') ?? '' }
  const cut = (await whole.arrayBuffer()).slice(0, 150)
  const request = new Request('http://app.test/users', { method: 'POST', headers, body: cut })
  await assert.rejects(storage.parseForm(request, { model: 'User' }), (error) => {
    assert.deepEqual(publicErrorOf(error), {
      statusCode: 422,
      code: 'INVALID_INPUT',
      message: 'The form could not be read. Send it again.',
      reference: null,
    })
    return true
  })
})

test('an unknown error is one fixed sentence to a visitor, with a reference for the log', async (t) => {
  const { lines, logger } = log()
  const app = await web(t, { logger })
  const path = await app.storage.stage(text('x')).then((staged) => staged.path())
  app.database.executor.run = () => Promise.reject(new Error(SECRET))
  const answer = await app.ask(path)
  const { error, code } = answer.json()
  const reference =
    /^Something went wrong on our side\. Try again later\. Reference: (\w{8})\.$/.exec(
      String(error),
    )?.[1]
  assert.deepEqual([answer.status, code], [500, 'INTERNAL'])
  const { message, details } = lines.at(-1) ?? assert.fail()
  assert.ok(
    reference !== undefined &&
      message.includes(reference) &&
      String(details['error']).includes(SECRET),
  )
})

test('every error class has a sentence for visitors, with the file once and no internals', () => {
  const details = {
    record: { type: 'User', id: '1' },
    attachment: 'coverImage',
    filename: 'né.png',
  }
  const classes = Object.values(all).filter(
    (each) => typeof each === 'function' && each.prototype instanceof ActiveStorageError,
  )
  assert.ok(classes.length >= 16)
  for (const each of classes) {
    const Made = each as unknown as new (message: string, ...rest: unknown[]) => ActiveStorageError
    // Two classes take a number of bytes before their options.
    const bytes = each === FileTooLargeError || each === StagingOffsetError ? [20 * 1024 ** 2] : []
    const error = new Made(SECRET, ...bytes, { details })
    const { message, reference } = publicErrorOf(error)
    assert.doesNotMatch(message, internal)
    assert.doesNotMatch(message.replace(/Reference: .*/, ''), /\d{3}/)
    assert.match(message, /^[A-Zn].*\.$/)
    assert.ok(message.length < 200 && message.split('né.png').length <= 2, message)
    // An InvalidInputError without a message of its own is a mistake of the app.
    assert.equal(reference === null, error.statusCode < 500 && error.code !== 'INVALID_INPUT')
    // A given public message is used as it is.
    assert.equal(new Made(SECRET, ...bytes, { publicMessage: 'Said.' }).publicMessage, 'Said.')
  }
  const publicOf = (maxSize: number, filename?: string) =>
    new FileTooLargeError('', maxSize, filename === undefined ? {} : { details: { filename } })
      .publicMessage
  assert.equal(
    publicOf(20 * 1024 ** 2, 'a.png'),
    'a.png is larger than 20 MB. Choose a smaller one.',
  )
  assert.equal(publicOf(1.5 * 1024 ** 3), 'The file is larger than 1.5 GB. Choose a smaller one.')
  assert.match(
    publicOf(500, `${'x'.repeat(200)}.png`),
    /^x{40}…x{11}\.png is larger than 500 bytes\./,
  )
  assert.equal(
    new all.AttachmentRequiredError('', { details }).publicMessage,
    'The cover image is missing. Choose a file.',
  )
  assert.equal(publicOf(1), 'The file is larger than 1 byte. Choose a smaller one.')
  assert.match(
    new all.FileTypeNotAcceptedError('').publicMessage,
    /^The file is of a type that is not accepted here\./,
  )
  assert.equal(publicErrorOf(new ServiceError(SECRET, { details })).code, 'SERVICE')
})

test("Fastify and Hono send the visitor's message; a handler of the app gets the whole error", async (t) => {
  const { storage } = await web(t)
  const tooLarge = () => {
    const body = new FormData()
    body.set('user[photo]', new File(['x'.repeat(2 << 20)], 'né.txt', { type: 'text/plain' }))
    return new Request('http://app.test/users', { method: 'POST', body })
  }
  const message = 'né.txt is larger than 1 MB. Choose a smaller one.'
  const own = 'for the log: bucket-7'

  const logged: string[] = []
  const app = fastify({
    logger: { level: 'error', stream: { write: (line: string) => void logged.push(line) } },
  })
  t.after(() => app.close())
  await app.register(forFastify.activeStorage(storage))
  app.post('/users', (request) => forFastify.form(storage, request, { model: 'User' }))
  app.get('/ours', () => Promise.reject(new all.ConfigurationError(own)))
  app.get('/theirs', () => Promise.reject(new Error(own)))
  await app.register(async (scope) => {
    scope.setErrorHandler<Error>((error, _request, reply) => reply.code(418).send(error.message))
    scope.get('/handled', () => Promise.reject(new all.ConfigurationError(own)))
  })
  const request = tooLarge()
  const refused = await app.inject({
    method: 'POST',
    url: '/users',
    headers: { 'content-type': request.headers.get('content-type') ?? '' },
    payload: Buffer.from(await request.arrayBuffer()),
  })
  assert.deepEqual(refused.json(), {
    statusCode: 413,
    code: 'FILE_TOO_LARGE',
    error: 'Payload Too Large',
    message,
  })
  const ours = await app.inject('/ours')
  const reference = /Reference: (\w{8})\.$/.exec(ours.json<Error>().message)?.[1] ?? assert.fail()
  assert.equal(ours.statusCode, 500)
  assert.doesNotMatch(ours.body, internal)
  assert.ok(logged.some((line) => line.includes(reference) && line.includes(own)))
  assert.equal((await app.inject('/theirs')).json<Error>().message, own)
  assert.deepEqual(
    await app.inject('/handled').then(({ statusCode, body }) => [statusCode, body]),
    [418, own],
  )

  const hono = new Hono()
  hono.post('/users', forHono.form(storage, { model: 'User' }), (c) => c.text('saved'))
  const answer = await hono.fetch(tooLarge())
  assert.deepEqual(
    [answer.status, await answer.json()],
    [413, { error: message, code: 'FILE_TOO_LARGE' }],
  )
  const foto = () => {
    const body = new FormData()
    body.set('user[foto]', new File(['x'], 'a.txt'))
    return new Request('http://app.test/users', { method: 'POST', body })
  }
  const console = t.mock.method(globalThis.console, 'error', () => undefined)
  const mistake = await hono.fetch(foto())
  const [[honoReference, honoError] = []] = console.mock.calls.map((call) => call.arguments)
  assert.equal(mistake.status, 422)
  assert.ok((await mistake.text()).includes(`Reference: ${String(honoReference)}.`))
  assert.match(String(honoError), /Name the input user\[photo\]/)
  hono.onError((error, c) => c.text(error.message))
  assert.match(
    await (await hono.fetch(tooLarge())).text(),
    /^né\.txt is larger than the 1 MB \(1048576 bytes\) allowed for photo/,
  )
})

test("the log's message names record, attachment and file, also of an error without them", async (t) => {
  const app = await web(t)
  const { details, message } = new ServiceError('It broke.', {
    details: { record: { type: 'User', id: '7' }, attachment: 'photo', filename: 'a.txt' },
  })
  assert.deepEqual([message, details.attachment], ['It broke. (User 7, photo, a.txt)', 'photo'])
  assert.equal(
    new ServiceError('photo of User 7: a.txt broke.', { details }).message,
    'photo of User 7: a.txt broke.',
  )
  app.service.upload = () => Promise.reject(new Error(SECRET))
  await app.user.photo.attachLater(text('a'))
  await app.storage.drain()
  assert.equal(
    (await app.user.photo.delayedUploads())[0]?.lastError,
    `${SECRET} (User 1, photo, a.txt)`,
  )
})

test('an error has the members of an HTTP error, and forbids frameworks to show its message', () => {
  const shape = ({ status, statusCode, expose }: FormLimitError | ConfigurationError): unknown => ({
    status,
    statusCode,
    expose,
  })
  assert.deepEqual(shape(new FormLimitError('too many')), {
    status: 413,
    statusCode: 413,
    expose: false,
  })
  assert.deepEqual(shape(new ConfigurationError('wrong')), {
    status: 500,
    statusCode: 500,
    expose: false,
  })
})
