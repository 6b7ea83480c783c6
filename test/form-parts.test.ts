// Parts of a form are read as Rack reads them, or refused; no file or value is lost.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Readable } from 'node:stream'
import { ActiveStorageError, StagedFile } from '../src/index.ts'
import { readForm } from '../src/http/forms/read-form.ts'
import { web } from './support/web.ts'

type Came = readonly [kind: 'file' | 'field', name: string, content: string, filename?: string]

const formOf = (...parts: readonly string[]): Buffer =>
  Buffer.from(`${parts.map((part) => `--b\r\n${part}\r\n`).join('')}--b--\r\n`, 'latin1')
const requestOf = (pieces: readonly Uint8Array[], type = 'multipart/form-data; boundary=b') =>
  Object.assign(Readable.from(pieces, { objectMode: false }), { headers: { 'content-type': type } })

/** Reads a form that is sent in these pieces, and returns its fields and files. */
async function read(pieces: readonly Uint8Array[], type?: string): Promise<Came[]> {
  const came: Came[] = []
  await readForm(
    requestOf(pieces, type),
    {},
    {
      field: (name, value) => void came.push(['field', name, value]),
      async file({ name, filename, io }) {
        const chunks: Uint8Array[] = []
        for await (const chunk of io) chunks.push(chunk)
        came.push(['file', name, Buffer.concat(chunks).toString('latin1'), filename])
      },
    },
  )
  return came
}
const oneByOne = (form: Buffer): Buffer[] => [...form].map((byte) => Buffer.from([byte]))
const isRefusal = (error: unknown): boolean =>
  error instanceof ActiveStorageError && error.statusCode >= 400 && error.statusCode < 500

test('an unusual header is read as Rack reads it, however the form is split', async () => {
  const name = 'name="user[photo]"'
  const photo = (filename: string): Came => ['file', 'user[photo]', 'x', filename]
  const cases: readonly (readonly [disposition: string, Came | 'refused'])[] = [
    [`form-data; ${name}; filename="a.txt";`, photo('a.txt')],
    [`form-data; ${name}; filename="a.txt"; `, photo('a.txt')],
    [`form-data;; ${name};; filename="a.txt"`, photo('a.txt')],
    [`form-data; ${name}; filename="my "best" photo.txt"`, photo('my ')],
    [`form-data; ${name}; filename=my photo.txt`, photo('my')],
    [`form-data; ${name}; filename=a.txt`, photo('a.txt')],
    [`form-data; ${name}; filename = "a.txt"`, photo('a.txt')],
    [`form-data;${name};filename="a.txt"`, photo('a.txt')],
    [`form-data; filename="a.txt"; ${name}`, photo('a.txt')],
    [`form-data; NAME="user[photo]"; FileName="a.txt"`, photo('a.txt')],
    [`form-data; name=user[photo]; filename="a.txt"`, photo('a.txt')],
    [`form-data; ${name}; filename="a;b.txt"`, photo('a;b.txt')],
    [`form-data; ${name}; filename="a\\"b.txt"`, photo('a"b.txt')],
    [`form-data; ${name}; filename="C:\\photos\\a.txt"`, photo('C:\\photos\\a.txt')],
    [`form-data; ${name}; filename="a.txt"; filename="b.txt"`, photo('b.txt')],
    [`form-data; ${name}; flag; filename="a.txt"`, photo('a.txt')],
    [`attachment; ${name}; filename="a.txt"`, photo('a.txt')],
    [`form-data; ${name};\r\n filename="a.txt"`, photo('a.txt')],
    [`form-data; ${name}; filename*=UTF-8''%D1%84.txt`, photo('ф.txt')],
    [`form-data; ${name}; filename="a.txt"; filename*=windows-1251''%F4.txt`, photo('ф.txt')],
    [`form-data; ${name}; filename="a.txt"; filename*=klingon''%F4.txt`, photo('a.txt')],
    [`form-data; ${name}; filename*=klingon''%F4.txt`, 'refused'],
    [`form-data; ${name}; filename*0="a"; filename*1=".txt"`, 'refused'],
    [`form-data; ${name}; filename*0*=UTF-8''a; filename*1*=.txt`, 'refused'],
    [`form-data; ${name}; filename*=a.txt`, photo('a.txt')],
    [`form-data; ${name}; filename="100%.txt"`, photo('100%.txt')],
    [`form-data; ${name}; filename=""`, photo('')],
    [`form-data; ${name}; filename="a.txt`, 'refused'],
    [`form-data; ${name}; x="; filename="a.txt"`, 'refused'],
    [`form-data; filename="a.txt"`, 'refused'],
    [`form-data; name=""; filename="a.txt"`, 'refused'],
    ['form-data', 'refused'],
    [`form-data; name="a"b"`, ['field', 'a', 'x']],
    [`form-data; name="a";`, ['field', 'a', 'x']],
    [`form-data; name=a b`, ['field', 'a', 'x']],
    [`form-data; name=a[b][]`, ['field', 'a[b][]', 'x']],
    [`form-data; name="a\\"b"`, ['field', 'a"b', 'x']],
    [`form-data; name="a`, 'refused'],
    [`form-data; name=`, 'refused'],
  ]
  const after: Came = ['field', 'after', 'y']
  for (const [disposition, expected] of cases) {
    const form = formOf(
      `Content-Disposition: ${disposition}\r\n\r\nx`,
      'no-header\r\ncontent-disposition:form-data; name=after\r\n\r\ny',
    )
    for (const pieces of [[form], oneByOne(form)])
      if (expected === 'refused') await assert.rejects(read(pieces), isRefusal, disposition)
      else
        assert.deepEqual((await read(pieces)).toSorted(), [after, expected].toSorted(), disposition)
  }
  const bodies: readonly (readonly [part: string, content: string])[] = [
    ['name=a\r\n\r\n', ''],
    // Some leave the body's own line end out where it is empty.
    ['name=a\r\n', ''],
    ['name=a\r\n\r\n\r\n--bb\r\n--b-\r\r\n', '\r\n--bb\r\n--b-\r\r\n'],
  ]
  for (const [part, content] of bodies) {
    const form = formOf(
      `content-disposition: form-data; ${part}`,
      'content-disposition: form-data; name=after\r\n\r\ny',
    )
    for (const pieces of [[form], oneByOne(form)])
      assert.deepEqual(await read(pieces), [['field', 'a', content], after], part)
  }
})

/** Numbers from 0 to 1 that are the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

test('any header gives a file or an error, also for a field', async (t) => {
  const seed = Number(process.env['SEED'] ?? 20_261_127)
  t.diagnostic(`SEED=${seed}`)
  const next = numbers(seed)
  const of = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
  const alphabet = [
    '"',
    '"',
    ';',
    ';',
    ' ',
    '=',
    '\\',
    '[',
    ']',
    '[]',
    '%',
    '%22',
    '%0A',
    "'",
    '*',
    ',',
    'a',
    'é',
    '.txt',
    '/',
    '\t',
    '\r\n ',
    '\n',
    '\0',
  ]
  const noise = (): string =>
    Array.from({ length: Math.floor(next() * 6) }, () => of(alphabet)).join('')
  const charsets = [
    '',
    '',
    ';charset=utf-8',
    '; charset="windows-1251"',
    '; charset=klingon',
    ';charset',
    '; charset="',
    '; charset=utf-16le',
  ]
  const outcomes = { came: 0, refused: 0 }
  for (let round = 0; round < 3000; round += 1) {
    const isFile = next() < 0.5
    const named = of([
      `name="f${noise()}"`,
      `name=f${noise()}`,
      `name${noise()}="f"`,
      `${noise()}name="f"${noise()}`,
    ])
    const filename = of([
      `filename="a${noise()}"`,
      `filename=a${noise()}`,
      `filename*=UTF-8''a${noise()}`,
      `filename="${noise()}"`,
    ])
    const parameters = isFile
      ? of([
          [named, filename],
          [filename, named],
        ])
      : [named]
    const disposition = `form-data;${of([' ', noise()])}${parameters.join(of(['; ', ';', `;${noise()}`]))}${of(['', noise()])}`
    const head = `Content-Disposition: ${disposition}\r\nContent-Type: text/plain${of(charsets)}`
    const form = formOf(
      `${head}\r\n\r\n${'x'.repeat(40)}`,
      'Content-Disposition: form-data; name="after"\r\n\r\ny',
    )
    const cut = Math.floor(next() * form.length)
    const came = await read([form.subarray(0, cut), form.subarray(cut)]).catch((error: unknown) => {
      assert.ok(isRefusal(error), `${JSON.stringify(head)}: ${String(error)}`)
      return null
    })
    outcomes[came === null ? 'refused' : 'came'] += 1
    if (came === null) continue
    const story = `SEED=${seed}, round ${round}: ${JSON.stringify(head)} gave ${JSON.stringify(came)}`
    assert.equal(came.length, 2, story)
    const [first] = came.filter(([, name]) => name !== 'after')
    assert.equal(first?.[0], isFile ? 'file' : 'field', story)
    if (isFile || !/charset="?(windows|utf-16)/.test(head))
      assert.equal(first?.[2], 'x'.repeat(40), story)
  }
  assert.ok(outcomes.came > 500 && outcomes.refused > 500, JSON.stringify(outcomes))
})

test('base64 is decoded, other encodings are refused', async () => {
  const data = Buffer.from(Array.from({ length: 100 }, (_, index) => index * 7))
  const lines = data.toString('base64').replaceAll(/.{20}/g, '$&\r\n')
  const part = (encoding: string, body: string, what = '; filename="a"'): string =>
    `Content-Disposition: form-data; name="a"${what}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${body}`
  for (const form of [
    formOf(part('base64', lines)),
    formOf(part('BASE64 ', lines.replace(/=+$/, ''))),
  ])
    for (const pieces of [[form], oneByOne(form)])
      assert.equal((await read(pieces))[0]?.[2], data.toString('latin1'))
  assert.deepEqual(await read([formOf(part('base64', 'w6k=', ''))]), [['field', 'a', 'é']])
  assert.deepEqual(await read([formOf(part('base64', ''))]), [['file', 'a', '', 'a']])
  for (const plain of ['7bit', '8bit', 'binary'])
    assert.equal((await read([formOf(part(plain, 'a=b'))]))[0]?.[2], 'a=b')
  for (const [encoding, body] of [
    ['base64', 'a!b='],
    ['base64', 'QQ==QQ=='],
    ['base64', 'QUJDR'],
    ['quoted-printable', 'a=3Db'],
    ['x-gzip', 'x'],
  ] as const)
    for (const what of ['; filename="a"', '']) {
      const form = formOf(part(encoding, body, what))
      for (const pieces of [[form], oneByOne(form)])
        await assert.rejects(read(pieces), isRefusal, `${encoding} ${body}`)
    }
})

test('a field is decoded from the charset that it names, or refused', async () => {
  const part = (charset: string, bytes: string): Buffer =>
    formOf(
      `Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=${charset}\r\n\r\n${bytes}`,
    )
  const cases: readonly (readonly [charset: string, bytes: string, text: string | null])[] = [
    ['utf-8', '\xc3\xa9', 'é'],
    ['UTF8', '\xc3\xa9', 'é'],
    ['"windows-1251"', '\xcf\xf0\xe8\xe2\xe5\xf2', 'Привет'],
    ['koi8-r', '\xf0', 'П'],
    ['ISO-8859-1', '\xe9', 'é'],
    ['shift_jis', '\x83\x65', 'テ'],
    ['gbk', '\xc4\xe3', '你'],
    ['euc-kr', '\xc7\xd1', '한'],
    ['iso-2022-jp', '\x1b$B%F\x1b(B', 'テ'],
    ['utf-16le', 'a\0', 'a'],
    ['us-ascii', 'a', 'a'],
    ['klingon', 'a', null],
    ['utf-7', 'a', null],
    ['x-mac-none', 'a', null],
    ['__proto__', 'a', null],
  ]
  for (const [charset, bytes, text] of cases) {
    if (text === null)
      await assert.rejects(read([part(charset, bytes)]), {
        code: 'INVALID_INPUT',
        statusCode: 422,
        message: /charset/,
      })
    else assert.deepEqual(await read([part(charset, bytes)]), [['field', 'a', text]], charset)
    const encoded = `a=${[...Buffer.from(bytes, 'latin1')].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}&b=1+1&&=x&c`
    const type = `application/x-www-form-urlencoded; charset=${charset}`
    for (const pieces of [[Buffer.from(encoded)], oneByOne(Buffer.from(encoded))])
      if (text === null)
        await assert.rejects(read(pieces, type), { code: 'INVALID_INPUT', statusCode: 422 })
      else if (charset !== 'utf-16le')
        assert.deepEqual(
          await read(pieces, type),
          [
            ['field', 'a', text],
            ['field', 'b', '1 1'],
            ['field', 'c', ''],
          ],
          charset,
        )
  }
})

test('the first error ends a form, however much of it remains', async () => {
  const good = 'Content-Disposition: form-data; name="a"; filename="a"\r\n\r\nx'
  for (const bad of ['Content-Disposition: form-data; name="a', 'X: y', good]) {
    const form = formOf(
      good,
      ...Array.from({ length: Math.floor(2_000_000 / (bad.length + 15)) }, () => `${bad}\r\n\r\n`),
    )
    let files = 0
    const { user } = process.cpuUsage()
    const file = async ({ io }: { io: AsyncIterable<Uint8Array> }): Promise<void> => {
      files += 1
      for await (const _ of io);
    }
    await assert.rejects(readForm(requestOf([form]), {}, { field: assert.fail, file }), isRefusal)
    assert.ok(files <= 100, `${files} files were begun`)
    const spent = process.cpuUsage().user - user
    assert.ok(spent < 1_000_000, `${spent} µs were spent`)
  }
})

test('a body that a platform has read is taken from rawBody', async (t) => {
  const { storage } = await web(t)
  const form = formOf(
    'Content-Disposition: form-data; name="user[photo]"; filename="a.txt"\r\n\r\nhello',
  )
  for (const beside of ['rawBody', 'body']) {
    const request = requestOf([form])
    for await (const _ of request);
    await assert.rejects(storage.parseForm(request, { model: 'User' }), /read before/)
    const { files } = await storage.parseForm(Object.assign(request, { [beside]: form }), {
      model: 'User',
    })
    assert.equal((files.photo as StagedFile).byteSize, 5)
  }
})

test('folders of a form are kept on request, and never leave their folder', async (t) => {
  const { storage } = await web(t)
  const names = [
    ['2023/a.txt', 'a.txt', '2023/a.txt'],
    ['2024/a.txt', 'a.txt', '2024/a.txt'],
    ['..\\..\\etc/.. /x.txt', 'x.txt', 'etc/x.txt'],
    ['/abs//./b.txt', 'b.txt', 'abs/b.txt'],
    ['C:\\photos\\c.txt', 'c.txt', 'photos/c.txt'],
    ['a\u202E/d\u0007.txt', 'd\u0007.txt', 'a/d.txt'],
    ['folder/', 'folder', 'folder'],
    ['../..', 'file', 'file'],
    ['C:../d.txt', 'd.txt', 'C-../d.txt'],
    ['album/A: b.txt', 'A: b.txt', 'album/A: b.txt'],
  ] as const
  for (const [sent, bare, path] of names)
    for (const [options, expected] of [
      [{}, bare],
      [{ preservePath: false }, bare],
      [{ preservePath: true }, path],
    ] as const) {
      const form = new FormData()
      form.set('user[certificates][]', new File(['x'], sent))
      const request = new Request('http://app.test/', { method: 'POST', body: form })
      const { files } = await storage.parseForm(request, { model: 'User', ...options })
      assert.equal(
        (files.certificates as { files: StagedFile[] }).files[0]?.filename,
        expected,
        sent,
      )
    }
  const { files } = await storage.parseForm(
    requestOf([
      formOf(`Content-Disposition: form-data; name="user[photo]"; filename="2023/a.txt"\r\n\r\nx`),
    ]),
    {
      model: 'User',
      preservePath: true,
    },
  )
  const user = storage.record('User', 1)
  await user.attachLater(files)
  await storage.drain()
  const photo = await user.photo.attachment()
  assert.equal(photo?.filename, '2023/a.txt')
  const answer = await storage.handler(
    new Request(`http://app.test${photo?.path({ proxy: true })}`),
  )
  assert.match(answer.headers.get('content-disposition') ?? '', /filename="2023-a\.txt"/)
})

test('the time to read a form grows only with its length, whatever its pieces and boundary', async () => {
  const read = (pieces: readonly Uint8Array[], type: string): Promise<void> =>
    readForm(
      requestOf(pieces, type),
      {},
      { field: () => undefined, file: async () => assert.fail() },
    )
  const { user } = process.cpuUsage()
  const pair = Buffer.from(`a=${'x'.repeat(400_000)}&b=1`)
  await read(oneByOne(pair), 'application/x-www-form-urlencoded')
  // The search for a long boundary in bytes that nearly match takes the longest.
  const boundary = 'a'.repeat(8000)
  const almost = Buffer.from(`${`\r\n--${boundary.slice(1)}b`.repeat(2)}${'a'.repeat(50_000)}`)
  const head = Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n`)
  await assert.rejects(
    read(
      [head, ...Array.from({ length: 14 }, () => almost)],
      `multipart/form-data; boundary=${boundary}`,
    ),
    isRefusal,
  )
  const spent = process.cpuUsage().user - user
  assert.ok(spent < 2_000_000, `${spent} µs were spent`)
})

test('a boundary with spaces after it is recognized, however the form is split', async () => {
  const form = Buffer.from(
    [
      '--b \t\r\nContent-Disposition: form-data; name="a"\r\n\r\nx',
      '--b \r\nContent-Disposition: form-data; name="p"; filename="p.txt"\r\n\r\n\r\n--b y\r\n--b-\r\n--bb\r\ny',
      '--b--  \r\n',
    ].join('\r\n'),
  )
  for (const pieces of [[form], oneByOne(form)])
    assert.deepEqual(await read(pieces), [
      ['field', 'a', 'x'],
      ['file', 'p', '\r\n--b y\r\n--b-\r\n--bb\r\ny', 'p.txt'],
    ])
})
