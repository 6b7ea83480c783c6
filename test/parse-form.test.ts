// Forms: names as Rails reads them, files staged on arrival, and hostile clients.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { ActiveStorageError, hasManyAttached, hasOneAttached, StagedFile } from '../src/index.ts'
import { nodeHandler } from '../src/http/adapters/node.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { memory } from '../src/services/memory.ts'
import { onEachStatement } from './support/statements.ts'
import { storageOn } from './support/storage.ts'
import { web } from './support/web.ts'

type Parts = readonly (readonly [name: string, value: string | File])[]
function request(parts: Parts): Request {
  const form = new FormData()
  for (const [name, value] of parts) form.append(name, value)
  return new Request('http://app.test/', { method: 'POST', body: form })
}
const file = (content: string, name = `${content}.txt`): File =>
  new File([content], name, { type: 'text/plain' })
const namesOf = (files: unknown): unknown =>
  (files as readonly unknown[]).map((each) => (each instanceof StagedFile ? each.filename : each))

test('names are read as Rails reads them, in either spelling', async (t) => {
  const { storage } = await web(t)
  for (const prefix of ['user[photo]', 'user[photo_tmp]', 'user[photoTmp]'])
    assert.equal(
      (
        (await storage.parseForm(request([[prefix, file('a')]]), { model: 'User' })).files
          .photo as StagedFile
      ).filename,
      'a.txt',
    )
  for (const list of [
    'user[certificates][]',
    'user[certificates_tmp][files][]',
    'user[certificatesTmp][files]',
    'user[certificates]',
    'user[certificates][0]',
  ]) {
    const { files } = await storage.parseForm(
      request([
        [list, file('a')],
        [list, file('b')],
      ]),
      { model: 'User' },
    )
    assert.deepEqual(
      namesOf((files.certificates as { files: unknown }).files),
      ['a.txt', 'b.txt'],
      list,
    )
  }
  const changes = await storage.parseForm(
    request([
      ['user[certificates_tmp][deleted_ids][]', '1'],
      ['user[certificates_tmp][deletedIds][]', ''],
      ['user[certificates_tmp][clean_before]', '1'],
    ]),
    { model: 'User' },
  )
  assert.deepEqual(
    { ...changes.files },
    { certificates: { files: [], deletedIds: ['1', ''], cleanBefore: '1' } },
  )
  await storage.record('User', 1).attachLater(changes.files)
  assert.deepEqual(
    Object.keys((await storage.parseForm(request([['user[name]', 'x']]), { model: 'User' })).files),
    [],
  )
  const quoted = await storage.parseForm(
    request([['user[photo]', file('x', 'né "q" 100%25.txt')]]),
    { model: 'User' },
  )
  assert.equal((quoted.files.photo as StagedFile).filename, 'né "q" 100%25.txt')
  // A file input that was left empty is no file.
  const empty = await storage.parseForm(request([['user[photo]', new File([], '')]]), {
    model: 'User',
  })
  assert.deepEqual({ ...empty.files }, {})
})

test('files that a form keeps by signed id stay beside new ones when it cleans the rest', async (t) => {
  const { storage, user } = await web(t)
  const [contract] = await user.certificates.attach([file('contract'), file('old')])
  const { files } = await storage.parseForm(
    request([
      ['user[certificates_tmp][clean_before]', 'true'],
      ['user[certificates_tmp][files][]', contract!.signedId],
      ['user[certificates_tmp][files][]', file('new')],
    ]),
    { model: 'User' },
  )
  await user.attachLater(files)
  await storage.drain({ throwOnError: true })
  const kept = await user.certificates.attachments()
  assert.deepEqual(
    kept.map(({ filename }) => filename),
    ['contract.txt', 'new.txt'],
  )
})

test('discard deletes only files that the form staged or names and nobody submitted', async (t) => {
  const { storage, user, query } = await web(t)
  const staged = async (name: string) => storage.stage(file(name))
  const [hidden, surplus, submitted, pending, elsewhere] = [
    await staged('hidden'),
    await staged('surplus'),
    await staged('submitted'),
    await staged('pending'),
    await staged('elsewhere'),
  ]
  await storage.record('User', 2).photo.attachLater(submitted)
  const [stored] = await user.certificates.attach([file('stored')])
  const form = await storage.parseForm(
    request([
      ['user[certificates][]', hidden.signedId],
      ['user[certificates][]', submitted.signedId],
      ['user[certificates][]', stored!.signedId],
      ['user[photo]', surplus.signedId],
      // Shows a file, and does not stand for it.
      ['user[photo]', decodeURIComponent(pending.path().split('/').at(-2)!)],
      ['user[photo]', file('chosen')],
      ['post[photo]', elsewhere.signedId],
    ]),
    { model: 'User', limits: {} },
  )
  await form.discard()
  await form.discard()
  const left = await query(
    "select filename from activestorage_delayed_files where state = 'staged' order by filename",
  )
  assert.deepEqual(
    left.map(({ filename }) => filename),
    ['elsewhere.txt', 'pending.txt', 'submitted.txt'],
  )
  await storage.drain({ throwOnError: true })
  assert.equal((await storage.record('User', 2).photo.attachment())?.filename, 'submitted.txt')
  assert.equal((await (await user.certificates.attachments())[0]!.download()).toString(), 'stored')
})

test("fields become values: without the model's prefix, lists as lists, the last duplicate wins", async (t) => {
  const { storage } = await web(t)
  const { values } = await storage.parseForm(
    request([
      ['user[name]', 'first'],
      ['user[name]', 'last'],
      ['user[tags][]', 'a'],
      ['user[tags][]', 'b'],
      ['user[address][city]', 'Paris'],
      ['name', 'of something else'],
      ['commit', 'Save'],
      ['ids[]', '1'],
      ['__proto__', 'x'],
      ['user[__proto__]', 'y'],
      ['user[constructor][prototype]', 'z'],
      ['user[unbalanced', 'w'],
      ['', 'nameless'],
    ]),
    { model: 'User' },
  )
  assert.equal(Object.getPrototypeOf(values), null)
  assert.deepEqual(
    Object.entries(values).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    [
      ['__proto__', 'y'],
      ['address[city]', 'Paris'],
      ['commit', 'Save'],
      ['constructor[prototype]', 'z'],
      ['ids', ['1']],
      ['name', 'last'],
      ['tags', ['a', 'b']],
      ['user[unbalanced', 'w'],
    ],
  )
  assert.equal(({} as Record<string, unknown>)['x'], undefined)
})

test('scopes work: of a model with a longer name, of the app, or none', async (t) => {
  const storage = storageOn(
    sqlite(':memory:') as never,
    { 'Admin::BlogPost': { coverImage: hasOneAttached(), more: hasManyAttached() } },
    memory(),
  )
  t.after(() => storage.close())
  await storage.migrate()
  const cover = async (name: string, scope?: string | null): Promise<unknown> => {
    const { files } = await storage.parseForm(request([[name, file('a')]]), {
      model: 'Admin::BlogPost',
      ...(scope === undefined ? {} : { scope }),
    })
    return (files.coverImage as StagedFile).filename
  }
  for (const name of [
    'adminBlogPost[coverImage]',
    'admin_blog_post[cover_image]',
    'admin_blog_post[cover_image_tmp]',
  ])
    assert.equal(await cover(name), 'a.txt')
  assert.equal(await cover('post[coverImage]', 'post'), 'a.txt')
  assert.equal(await cover('cover_image', null), 'a.txt')
  const flat = await storage.parseForm(
    request([
      ['title', 'x'],
      ['more[files][]', file('a')],
      ['more[]', file('b')],
    ]),
    { model: 'Admin::BlogPost', scope: null },
  )
  assert.deepEqual(
    [{ ...flat.values }, namesOf((flat.files.more as { files: unknown }).files)],
    [{ title: 'x' }, ['a.txt', 'b.txt']],
  )
  await assert.rejects(storage.parseForm(request([]), { model: 'Nobody' as never }), {
    code: 'UNKNOWN_ATTACHMENT',
  })
  await assert.rejects(
    storage.parseForm(request([]), { model: 'Admin::BlogPost', scop: 'x' } as never),
    /unknown option 'scop'/,
  )
})

test('a form shown again keeps its files as hidden fields, and they are attached once', async (t) => {
  const { storage, user } = await web(t)
  const first = await storage.parseForm(
    request([
      ['user[photo_tmp]', file('photo')],
      ['user[certificates][]', file('a')],
    ]),
    { model: 'User' },
  )
  assert.deepEqual(
    first.hidden.map(({ name, filename }) => [name, filename]),
    [
      ['user[photo_tmp]', 'photo.txt'],
      ['user[certificates][]', 'a.txt'],
    ],
  )
  const again: Parts = [
    ...first.hidden.map(({ name, value }) => [name, value] as const),
    ['user[certificates][]', file('b')],
  ]
  const second = await storage.parseForm(request(again), { model: 'User' })
  assert.deepEqual(
    second.hidden.map(({ filename, path }) => [filename, path !== null]),
    [
      ['photo.txt', true],
      ['a.txt', true],
      ['b.txt', true],
    ],
  )
  await user.attachLater(second.files)
  await user.attachLater(second.files)
  await storage.drain()
  assert.equal((await user.photo.attachment())?.filename, 'photo.txt')
  assert.deepEqual(
    (await user.certificates.attachments()).map(({ filename }) => filename),
    ['a.txt', 'b.txt'],
  )
  // A new choice comes after the hidden field, and counts.
  const newer = await storage.parseForm(
    request([
      ['user[photo]', first.hidden[0]?.value ?? ''],
      ['user[photo]', file('newer')],
    ]),
    { model: 'User' },
  )
  assert.equal((newer.files.photo as StagedFile).filename, 'newer.txt')
  const junk = await storage.parseForm(request([['user[photo]', 'no--signature']]), {
    model: 'User',
  })
  assert.deepEqual(
    junk.hidden.map(({ filename }) => filename),
    [null],
  )
  await assert.rejects(user.attachLater(junk.files), { code: 'INVALID_SIGNATURE' })
})

const pending =
  "select count(*) as n from activestorage_delayed_files where state in ('staging', 'staged') and upload_token is null"

test('forbidden parts of a form are refused by name, and nothing of it is kept', async (t) => {
  const { storage, query } = await web(t)
  const many = (count: number, of: (index: number) => readonly [string, string | File]): Parts =>
    Array.from({ length: count }, (_, index) => of(index))
  const cases: readonly (readonly [
    string,
    Parts,
    code: string,
    status: number,
    message: RegExp,
  ])[] = [
    [
      'an unknown attachment',
      [['user[foto]', file('a')]],
      'INVALID_INPUT',
      422,
      /user\[photo\], user\[certificates\]\[\]/,
    ],
    [
      'a file without the scope',
      [['photo', file('a')]],
      'INVALID_INPUT',
      422,
      /no attachment of User/,
    ],
    [
      'below an attachment',
      [['user[photo][path]', '/etc/passwd']],
      'INVALID_INPUT',
      422,
      /is no part of photo/,
    ],
    [
      'deeper below it',
      [['user[certificates][files][][path]', 'x']],
      'INVALID_INPUT',
      422,
      /is no part of certificates/,
    ],
    [
      'a file as an id',
      [['user[certificates][deleted_ids][]', file('a')]],
      'INVALID_INPUT',
      422,
      /no attachment/,
    ],
    [
      'too many files',
      many(4, () => ['user[certificates][]', file('a')]),
      'TOO_MANY_FILES',
      413,
      /takes 3/,
    ],
    [
      'too many files of all',
      many(101, () => ['user[photo]', file('a')]),
      'FORM_LIMIT',
      413,
      /100/,
    ],
    ['too many fields', many(10_000, (index) => [`f${index}`, 'x']), 'FORM_LIMIT', 413, /1000/],
    ['a long field', [['x', 'x'.repeat(1_100_000)]], 'FORM_LIMIT', 413, /fieldSize/],
    [
      'long fields',
      many(11, (index) => [`f${index}`, 'x'.repeat(1_000_000)]),
      'FORM_LIMIT',
      413,
      /fieldsSize/,
    ],
    ['a long name', [['x'.repeat(600), 'x']], 'FORM_LIMIT', 413, /too long/],
    ['a deep name', [[`user${'[a]'.repeat(50)}`, 'x']], 'FORM_LIMIT', 413, /deeper than 10/],
    [
      'a deep name of a file',
      [[`user${'[a]'.repeat(50)}`, file('a')]],
      'FORM_LIMIT',
      413,
      /deeper than 10/,
    ],
    [
      'a large file',
      [['user[photo]', file('x'.repeat(1_048_577), 'large.txt')]],
      'FILE_TOO_LARGE',
      413,
      /large\.txt is larger/,
    ],
    [
      'a wrong type',
      [['user[photo]', file('%PDF-1.4', 'a.png')]],
      'FILE_TYPE_NOT_ACCEPTED',
      415,
      /application\/pdf/,
    ],
  ]
  for (const [name, parts, code, status, message] of cases) {
    const error = await storage
      .parseForm(
        request([['user[name]', 'Ada'], ['user[certificates][]', file('kept?')], ...parts]),
        { model: 'User' },
      )
      .then(
        () => assert.fail(name),
        (thrown: unknown) => thrown,
      )
    assert.ok(error instanceof ActiveStorageError, name)
    assert.deepEqual([error.code, error.statusCode], [code, status], `${name}: ${error.message}`)
    assert.match(error.message, message)
    assert.equal(error.values?.['name'], 'Ada', name)
    await storage.sweep()
    assert.deepEqual(await query(pending), [{ n: 0 }], name)
  }
  await assert.rejects(
    storage.parseForm(request(many(3, () => ['x', 'y'])), { model: 'User', limits: { fields: 2 } }),
    {
      code: 'FORM_LIMIT',
    },
  )
  const read = request([])
  await read.text()
  await assert.rejects(storage.parseForm(read, { model: 'User' }), /read before/)
  await assert.rejects(
    storage.parseForm(
      new Request('http://x/', {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      }),
      {
        model: 'User',
      },
    ),
    {
      code: 'INVALID_INPUT',
    },
  )
  const plain = await storage.parseForm(
    new Request('http://x/', {
      method: 'POST',
      body: new URLSearchParams([['user[name]', 'Ada']]),
    }),
    {
      model: 'User',
    },
  )
  assert.equal(plain.values['name'], 'Ada')
})

test('a hundred small files are staged in order, a few at a time; a has-one keeps the last', async (t) => {
  const { storage, database, query } = await web(t)
  let running = 0
  let most = 0
  const names = Array.from({ length: 99 }, (_, index) => `${index}`)
  const many = storageOn(
    database,
    { Album: { photos: hasManyAttached(), cover: hasOneAttached() } },
    memory(),
  )
  onEachStatement(database, async (sql, run) => {
    const isStaging = /insert into .*chunks/.test(sql)
    running += isStaging ? 1 : 0
    most = Math.max(most, running)
    await new Promise((resolve) => setImmediate(resolve))
    return run().finally(() => (running -= isStaging ? 1 : 0))
  })
  const { files, discard } = await many.parseForm(
    request([
      ...names.map((name) => ['album[photos][]', file(name, name)] as const),
      ['album[cover]', file('z')],
    ]),
    {
      model: 'Album',
    },
  )
  assert.deepEqual(namesOf((files.photos as { files: unknown }).files), names)
  assert.ok(most >= 1 && most <= 4, `${most} at once`)
  await discard()
  const { files: covers } = await many.parseForm(
    request(names.map((name) => ['album[cover]', file(name, name)] as const)),
    {
      model: 'Album',
    },
  )
  assert.equal((covers.cover as StagedFile).filename, '98')
  assert.deepEqual(await query(pending), [{ n: 1 }])
  await storage.close()
})

test('a database error is not an error of the form', async (t) => {
  const { storage, database } = await web(t)
  onEachStatement(database, (sql, run) =>
    /insert into .*chunks/.test(sql) ? Promise.reject(new Error('the disk is full')) : run(),
  )
  await assert.rejects(
    storage.parseForm(request([['user[photo]', file('a')]]), { model: 'User' }),
    { message: 'the disk is full' },
  )
})

/** A server that reads forms, and what it made of each. */
async function server(t: TestContext) {
  const app = await web(t)
  const outcomes: string[] = []
  let told = Promise.withResolvers<void>()
  const handle = nodeHandler(app.storage)
  const listening = createServer((req, res) =>
    handle(req, res, () => {
      const answer = (status: number, text: string): void => {
        outcomes.push(text)
        told.resolve()
        res.writeHead(status, { connection: 'close' }).end(text)
      }
      app.storage.parseForm(req, { model: 'User' }).then(
        async ({ values, files, discard }) => {
          await discard()
          answer(200, `${Object.keys(values).length} ${Object.keys(files).length}`)
        },
        (error: ActiveStorageError) => answer(error.statusCode ?? 500, error.code ?? String(error)),
      )
    }),
  ).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  t.after(() => {
    listening.closeAllConnections()
    listening.close()
  })
  const { port } = listening.address() as AddressInfo
  return {
    ...app,
    port,
    /** Sends, ends as told, and resolves with what the server made of it. */
    async send(
      pieces: readonly (string | Buffer)[],
      end: 'wait' | 'cut' | 'half',
    ): Promise<string> {
      told = Promise.withResolvers<void>()
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => undefined)
      for (const piece of pieces) {
        if (socket.destroyed) break
        socket.write(piece)
        await new Promise((resolve) => setImmediate(resolve))
      }
      if (end === 'cut') socket.resetAndDestroy()
      if (end === 'half') socket.end()
      socket.resume()
      await told.promise
      socket.destroy()
      return outcomes.at(-1) ?? ''
    },
  }
}

const head = (length: number | 'chunked', type = 'multipart/form-data; boundary=b'): string =>
  `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${length === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`}\r\n\r\n`
const part = (headers: string, body: string): string => `--b\r\n${headers}\r\n\r\n${body}\r\n`
const ofFile = (name: string, filename: string, body: string): string =>
  part(`Content-Disposition: form-data; name="${name}"; filename="${filename}"`, body)

test('broken, cut and slow forms leave nothing, and the server survives', async (t) => {
  const { send, query, storage } = await server(t)
  const unhandled: unknown[] = []
  const note = (error: unknown): void => void unhandled.push(error)
  process.on('unhandledRejection', note)
  t.after(() => process.off('unhandledRejection', note))
  const a = ofFile('user[photo]', 'a.txt', 'a')
  const large = ofFile('user[certificates][]', 'large.bin', 'x'.repeat(1_500_000))
  const cases: readonly (readonly [
    string,
    readonly (string | Buffer)[],
    'wait' | 'cut' | 'half',
    RegExp,
  ])[] = [
    ['whole', [head(`${a}--b--\r\n`.length), `${a}--b--\r\n`], 'wait', /^0 1$/],
    ['no boundary in the header', [head(2, 'multipart/form-data'), 'xx'], 'wait', /INVALID_INPUT/],
    ['another type', [head(2, 'image/png'), 'xx'], 'wait', /INVALID_INPUT/],
    ['an empty body', [head(0)], 'wait', /INVALID_INPUT/],
    ['a boundary that never comes', [head(100_000), 'x'.repeat(100_000)], 'wait', /INVALID_INPUT/],
    ['no boundary at the end', [head(a.length), a], 'wait', /INVALID_INPUT/],
    [
      'line feeds alone',
      [head(60), `--b\ncontent-disposition: form-data; name="x"\n\nx\n--b--\n`.padEnd(60)],
      'wait',
      /INVALID_INPUT/,
    ],
    ['a part without a name', [head(40), part('X: y', 'z').padEnd(40)], 'wait', /INVALID_INPUT/],
    [
      'a header without an end',
      [head(200_000), `--b\r\n${'X: y\r\n'.repeat(30_000)}`],
      'half',
      /INVALID_INPUT/,
    ],
    [
      'a header as long as a book',
      [head(200_000), `--b\r\nX: ${'y'.repeat(150_000)}`],
      'half',
      /INVALID_INPUT/,
    ],
    ['a length that is too long', [head(a.length + 500), `${a}--b--\r\n`], 'half', /INVALID_INPUT/],
    ['cut in a file', [head(2_000_000), large.slice(0, 900_000)], 'cut', /INVALID_INPUT/],
    ['cut in a header', [head(2_000_000), `${a}--b\r\nContent-Dis`], 'cut', /INVALID_INPUT/],
    [
      'cut in a field',
      [head(2_000_000), `${a}--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nxxx`],
      'cut',
      /INVALID_INPUT/,
    ],
    ['cut after a file', [head(2_000_000), large, a], 'cut', /INVALID_INPUT/],
    ['chunks that are none', [head('chunked'), 'zz\r\nxx\r\n'], 'half', /INVALID_INPUT/],
    ['byte by byte, then cut', [head(2_000_000), ...a], 'cut', /INVALID_INPUT/],
    [
      'a file of gigabytes, as it says',
      [head(50_000_000_000), ofFile('user[photo]', 'a.txt', 'x'.repeat(2_000_000)).slice(0, -10)],
      'wait',
      /FILE_TOO_LARGE/,
    ],
  ]
  for (const [name, pieces, end, expected] of cases) {
    assert.match(await send(pieces, end), expected, name)
    await storage.sweep()
    assert.deepEqual(await query(pending), [{ n: 0 }], name)
  }
  assert.deepEqual(await query('select count(*) as n from activestorage_delayed_chunks'), [
    { n: 0 },
  ])
  assert.deepEqual(unhandled, [])
})

test('any filename stays inside its header', async (t) => {
  const { storage, ask } = await web(t)
  for (const name of [
    'a"b\r\nSet-Cookie: x=1\r\n\r\n<script>',
    '../../etc/passwd',
    'C:\\x\\y.txt',
    'a\u2028b\u202Etxt.exe',
    'x'.repeat(10_000),
    '%0d%0aX: y',
    'né\0.txt',
    '..',
    '   ',
    "'; drop",
  ]) {
    const staged = await storage.stage({ io: Buffer.from('x'), filename: name })
    const { headers, status } = await ask(staged.path())
    assert.equal(status, 200)
    assert.equal(headers.get('set-cookie'), null)
    assert.match(
      headers.get('content-disposition') ?? '',
      /^attachment; filename="[ -!#-~]*"; filename\*=UTF-8''[!-~]*$/,
      JSON.stringify(name.slice(0, 30)),
    )
    assert.doesNotMatch(staged.path(), /\/\.\.\/|[\r\n\\]/)
  }
})

test('paths with forged tokens find nothing', async (t) => {
  const { storage, ask, user } = await web(t)
  await user.photo.attach({ io: Buffer.from('x'), filename: 'x.txt' })
  const token = (await user.photo.attachment())?.path().split('/')[5] ?? ''
  const hostile = [
    '..',
    '%2e%2e',
    '%2e%2e%2f%2e%2e%2fetc',
    '%00',
    '%',
    '%zz',
    '%ff',
    'x'.repeat(70_000),
    '__proto__',
    'constructor',
    ';',
    '--',
    'é',
    `${token}%00`,
    `${token}/..`,
    '',
    ' ',
  ]
  const routes = [
    'blobs/redirect/*/x',
    'blobs/proxy/*/x',
    'blobs/*/x',
    'disk/*/x',
    'pending/*/x',
    'delayed_uploads/*',
    'disk/*',
    'direct_uploads/*',
    'staged_files/*',
    '*',
    '*/*',
  ]
  for (const route of routes)
    for (const segment of hostile)
      for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'PATCH']) {
        const { status } = await ask(`${storage.basePath}/${route.replaceAll('*', segment)}`, {
          method,
          ...(method === 'POST' || method === 'PUT' ? { body: 'x' } : {}),
        })
        assert.ok(
          status === 404 || status === (method === 'OPTIONS' ? 204 : 405),
          `${method} ${route} with ${segment.slice(0, 20)}: ${status}`,
        )
      }
  for (const path of [
    '/',
    '/rails',
    storage.basePath,
    `${storage.basePath}/`,
    `//${storage.basePath}/blobs`,
    `${storage.basePath}x/blobs/redirect/${token}/x`,
  ])
    assert.equal((await ask(path)).status, 404, path)
  assert.equal(
    (
      await ask(
        `${storage.basePath}/blobs/redirect/${token}/a/b/%2F..%2Fc?disposition=${encodeURIComponent('inline\r\nX: y')}`,
      )
    ).status,
    302,
  )
})

test('a form can use a file attached elsewhere only if the request may see it there', async (t) => {
  const { storage } = await web(t, {
    authorize: (request: Request, { record }: import('../src/index.ts').AuthorizeSubject) =>
      request.headers.get('x-user') === record?.id,
  })
  const theirs = await storage.record('User', 2).photo.attach(file('theirs'))
  const fresh = await storage.blobs.createAndUpload({ io: Buffer.from('x'), filename: 'fresh.txt' })
  const parse = (signedId: string, user: string) => {
    const { body, headers } = request([['user[photo]', signedId]])
    const all = new Headers(headers)
    all.set('x-user', user)
    return storage.parseForm(
      new Request('http://app.test/', {
        method: 'POST',
        body,
        headers: all,
        duplex: 'half',
      } as RequestInit),
      {
        model: 'User',
      },
    )
  }
  await assert.rejects(parse(theirs!.signedId, '1'), {
    code: 'INVALID_SIGNATURE',
    message: /may not see/,
  })
  assert.equal((await parse(theirs!.signedId, '2')).files.photo, theirs!.signedId)
  assert.equal((await parse(fresh.signedId, '1')).files.photo, fresh.signedId)

  const server = createServer((req, res) => {
    storage.parseForm(req, { model: 'User' }).then(
      () => res.end('taken'),
      (error: ActiveStorageError) => res.end(error.code),
    )
  }).listen(0)
  t.after(() => server.close())
  await once(server, 'listening')
  for (const [user, answer] of [
    ['1', 'INVALID_SIGNATURE'],
    ['2', 'taken'],
  ] as const) {
    const form = new FormData()
    form.set('user[photo]', theirs!.signedId)
    const url = `http://localhost:${(server.address() as AddressInfo).port}/users?a=b`
    assert.equal(
      await (await fetch(url, { method: 'POST', body: form, headers: { 'x-user': user } })).text(),
      answer,
    )
  }
})

test('a request that is no form is refused with that reason, also after a body parser', async (t) => {
  const { storage } = await web(t)
  const headers = { 'Content-Type': 'application/json' }
  const fresh = new Request('http://app.test/', { method: 'POST', body: '{}', headers })
  const read = new Request('http://app.test/', { method: 'POST', body: '{}', headers })
  await read.json()
  for (const each of [fresh, read])
    await assert.rejects(storage.parseForm(each, { model: 'User' }), {
      code: 'INVALID_INPUT',
      message: /application\/json.*send multipart/,
    })
})

test('a request object of another library is recognized; other objects are refused', async (t) => {
  const { storage } = await web(t)
  /**
   * Makes a request like those of `@whatwg-node/fetch`: of no class of Node's, with a `bodyUsed`
   * that stays false.
   */
  const foreign = (made: Request): Request => {
    const { url, method, headers, signal } = made
    const body = {
      [Symbol.asyncIterator]: () =>
        (made.body as ReadableStream<Uint8Array>)[Symbol.asyncIterator](),
    }
    return {
      url,
      method,
      headers: { get: (name: string) => headers.get(name) },
      body,
      bodyUsed: false,
      signal,
      arrayBuffer() {},
    } as never
  }
  const form = foreign(request([['user[photo]', file('a')]]))
  assert.equal(
    ((await storage.parseForm(form, { model: 'User' })).files.photo as StagedFile).filename,
    'a.txt',
  )
  await assert.rejects(storage.parseForm(form, { model: 'User' }), /was read before/)
  const path = storage.stagedUploadPath('User.photo')
  const staged = new Request(`http://app.test${path}`, {
    method: 'POST',
    body: 'hello',
    headers: { 'X-Filename': 'h.txt' },
  })
  assert.equal((await storage.handler(foreign(staged))).status, 201)
  for (const other of [
    undefined,
    null,
    {},
    { headers: {} },
    { raw: new Request('http://app.test') },
    'text',
  ])
    await assert.rejects(storage.parseForm(other as never, { model: 'User' }), {
      code: 'CONFIGURATION',
      message: /c\.req\.raw in Hono/,
    })
})

test('an empty input that Next passes on is no file', async (t) => {
  const { storage } = await web(t)
  const sent = (content: string[]) =>
    request([['user[photo]', new File(content, 'undefined', { type: 'application/octet-stream' })]])
  assert.deepEqual({ ...(await storage.parseForm(sent([]), { model: 'User' })).files }, {})
  const zero = await storage.parseForm(request([['user[photo]', file('', 'zero.txt')]]), {
    model: 'User',
  })
  assert.equal((zero.files.photo as StagedFile).byteSize, 0)
})
