// Values that form parsers return, from the parsers themselves.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { test, type TestContext } from 'node:test'
import { runInNewContext } from 'node:vm'
import multipart, { type MultipartFile } from '@fastify/multipart'
import fastify, { type FastifyRequest } from 'fastify'
import formidable from 'formidable'
import multer from 'multer'
import {
  hasManyAttached,
  hasOneAttached,
  type FastifyFile,
  type FormidableFile,
  type ManyInput,
  type MulterFile,
} from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { text } from './support/storage.ts'

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const code = (expected: string) => (error: unknown) =>
  (error as { code?: string }).code === expected

async function opened(t: TestContext) {
  const { storage } = await testStorage(models)
  const folder = await mkdtemp(join(tmpdir(), 'forms-'))
  t.after(async () => {
    await storage.close()
    await rm(folder, { recursive: true, force: true })
  })
  const { docs } = storage.record('User', 1)
  return {
    folder,
    docs,
    /** Names and contents of what is attached once these files were submitted. */
    async carried(files: ManyInput): Promise<string[]> {
      await docs.attachLater(files)
      await storage.drain({ throwOnError: true })
      const attached = await docs.attachments()
      return Promise.all(
        attached.map(async (each) => `${each.filename}: ${String(await each.download())}`),
      )
    },
  }
}

const filled = (...fields: readonly [field: string, file: File][]): FormData => {
  const form = new FormData()
  for (const [field, file] of fields) form.append(field, file)
  return form
}
const twoDocs = filled(['docs', text('a')], ['docs', text('b')])
const both = ['a.txt: a', 'b.txt: b']

/** Submits a form to a server of plain Node, and returns what `parse` made of it. */
async function parsed<T>(
  form: FormData,
  parse: (req: IncomingMessage, res: ServerResponse) => Promise<T>,
): Promise<T> {
  const found = Promise.withResolvers<T>()
  const server = createServer((req, res) => {
    parse(req, res)
      .then(found.resolve, found.reject)
      .finally(() => res.end())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
      method: 'POST',
      body: form,
    })
    return await found.promise
  } finally {
    server.close()
  }
}

/** Submits a form to Fastify, where `handle` gets its request. */
async function sent(
  form: FormData,
  attachFieldsToBody: boolean,
  handle: (req: FastifyRequest) => Promise<void>,
): Promise<void> {
  const app = fastify()
  await app.register(multipart, attachFieldsToBody ? { attachFieldsToBody } : {})
  let failure: unknown
  app.post('/', (req) => handle(req).catch((error: unknown) => void (failure = error)))
  try {
    await fetch(await app.listen({ host: '127.0.0.1', port: 0 }), { method: 'POST', body: form })
  } finally {
    await app.close()
  }
  if (failure !== undefined) throw failure
}

test('multer: .array() and .fields(), from a folder and from memory', async (t) => {
  for (const where of ['folder', 'memory']) {
    const app = await opened(t)
    const upload = multer(
      where === 'folder' ? { dest: app.folder } : { storage: multer.memoryStorage() },
    )
    const run = async (form: FormData, middleware: ReturnType<typeof upload.any>) =>
      parsed(form, async (req, res) => {
        await new Promise<void>((done, fail) =>
          middleware(req as never, res as never, (error) =>
            error === undefined ? done() : fail(error),
          ),
        )
        return (req as unknown as { files: unknown }).files
      })
    const list = (await run(twoDocs, upload.array('docs'))) as Express.Multer.File[]
    assert.deepEqual(await app.carried(list satisfies MulterFile[]), both)
    const fields = filled(['docs', text('c')], ['docs', text('d')])
    const { docs } = (await run(fields, upload.fields([{ name: 'docs' }]))) as Record<
      string,
      Express.Multer.File[]
    >
    assert.deepEqual(await app.carried({ files: docs, cleanBefore: true }), [
      'c.txt: c',
      'd.txt: d',
    ])
  }
})

test('formidable: the list of a field', async (t) => {
  const app = await opened(t)
  const [, files] = await parsed(twoDocs, (req) => formidable({ uploadDir: app.folder }).parse(req))
  // In the order in which the parser's own writes to the disk ended.
  assert.deepEqual(
    (await app.carried((files['docs'] ?? []) satisfies FormidableFile[])).toSorted(),
    both,
  )
})

test('Fastify: parts as they stream in', async (t) => {
  const app = await opened(t)
  await sent(twoDocs, false, async (req) => {
    for await (const part of req.files()) await app.docs.attachLater(part satisfies FastifyFile)
  })
  assert.deepEqual(await app.carried([]), both)
})

test('Fastify: attachFieldsToBody', async (t) => {
  const app = await opened(t)
  await sent(twoDocs, true, async (req) => {
    const { docs } = req.body as { docs: MultipartFile[] }
    assert.deepEqual(await app.carried(docs satisfies FastifyFile[]), both)
    // Its bytes are kept: it may be handed over again.
    assert.deepEqual(await app.carried({ files: docs[0], cleanBefore: true }), ['a.txt: a'])
  })
})

test('Fastify: saveRequestFiles keeps the names that were sent', async (t) => {
  for (const attachFieldsToBody of [false, true]) {
    const app = await opened(t)
    await sent(twoDocs, attachFieldsToBody, async (req) => {
      const { files } = await req.saveRequestFiles({ tmpdir: app.folder })
      assert.deepEqual(await app.carried(files satisfies FastifyFile[]), both)
    })
  }
})

/**
 * A `File` as `@whatwg-node/fetch` has it, on which GraphQL Yoga runs: no tag, no `slice`, a stream
 * of its own.
 */
class YogaFile {
  readonly content: string
  readonly name: string
  readonly type: string
  readonly size: number
  constructor(content: string, name: string, type: string) {
    this.content = content
    this.name = name
    this.type = type
    this.size = content.length
  }
  slice(): never {
    throw new Error('slice() of a foreign File was called; arrayBuffer() is enough.')
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    return new TextEncoder().encode(this.content).buffer
  }
  stream(): unknown {
    const reader = new Blob([this.content]).stream().getReader()
    return { getReader: () => reader }
  }
}
/** A `File` as jsdom has it: no stream. */
class WindowFile {
  readonly name = 'w.txt'
  readonly #blob: Blob = new Blob(['win', 'dow'])
  readonly size = 6
  readonly type = 'text/plain'
  slice(start: number, end: number): Blob {
    return this.#blob.slice(start, end)
  }
  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#blob.arrayBuffer()
  }
}

test('an empty input is no file, and a file without bytes is one, with every parser', async (t) => {
  const octets = 'application/octet-stream'
  const zero = new File([], 'zero.txt', { type: 'text/plain' })
  const form = filled(['docs', new File([], '', { type: octets })], ['docs', zero])
  const request = new Request('http://app.test/', { method: 'POST', body: form })
  const app = await opened(t)
  const path = join(app.folder, 'upload_5f3a')
  await writeFile(path, '')
  const lists: Record<string, unknown> = {
    web: (await request.formData()).getAll('docs'),
    // Next's server actions.
    next: [new File([], 'undefined', { type: octets }), zero],
    // Named after its field.
    yoga: [
      new YogaFile('', 'docs', octets),
      new YogaFile('', 'user[docs][]', octets),
      new YogaFile('', 'zero.txt', 'text/plain'),
    ],
    formidable: (
      await parsed(form, (req) =>
        formidable({ uploadDir: app.folder, allowEmptyFiles: true, minFileSize: 0 }).parse(req),
      )
    )[1]['docs'],
    'formidable 1': [
      { path, name: '', type: octets, size: 0 },
      { path, name: 'zero.txt', type: 'text/plain', size: 0 },
    ],
  }
  for (const storage of [multer.memoryStorage(), multer.diskStorage({ destination: app.folder })])
    lists[storage.constructor.name] = await parsed(form, async (req, res) => {
      await new Promise((done) => multer({ storage }).any()(req as never, res as never, done))
      return (req as unknown as { files: unknown }).files
    })
  for (const [from, files] of Object.entries(lists))
    assert.deepEqual(await app.carried({ files, cleanBefore: true } as never), ['zero.txt: '], from)
  for (const how of ['stream', 'body', 'saved']) {
    const fresh = await opened(t)
    await sent(form, how === 'body', async (req) => {
      if (how === 'stream') for await (const part of req.files()) await fresh.docs.attachLater(part)
      else if (how === 'body')
        await fresh.docs.attachLater((req.body as { docs: MultipartFile[] }).docs)
      else
        await fresh.docs.attachLater((await req.saveRequestFiles({ tmpdir: fresh.folder })).files)
    })
    assert.deepEqual(await fresh.carried([]), ['zero.txt: '], `Fastify: ${how}`)
  }
  // Only the name shows that these inputs were not left empty.
  assert.deepEqual(
    await app.carried({ files: new File([], 'LICENSE', { type: octets }), cleanBefore: true }),
    ['LICENSE: '],
  )
  assert.deepEqual(
    await app.carried({ files: new File(['x'], 'undefined', { type: octets }), cleanBefore: true }),
    ['undefined: x'],
  )
})

test('a file is recognized by its members: of other libraries, formidable 1 or another realm', async (t) => {
  const app = await opened(t)
  const path = join(app.folder, 'upload_5f3a')
  await writeFile(path, 'old')
  const list = [
    new YogaFile('yoga', 'y.txt', 'text/plain'),
    new WindowFile(),
    { path, name: 'o.note', type: 'text/x-note', size: 3, hash: null },
    { io: runInNewContext('Uint8Array.of(97, 98)') as Uint8Array, filename: 'r.txt' },
  ]
  assert.deepEqual(await app.carried(list as never), [
    'y.txt: yoga',
    'w.txt: window',
    'o.note: old',
    'r.txt: ab',
  ])
  assert.equal((await app.docs.attachments())[2]?.contentType, 'text/x-note')
})

test('an unknown kind of file is refused, never read in part', async (t) => {
  const { docs, folder } = await opened(t)
  const path = join(folder, 'a.txt')
  await writeFile(path, 'a')
  const stream = createReadStream(path)
  t.after(() => stream.destroy())
  for (const [input, why] of [
    [stream, /stream has no filename: pass \{ io: stream, filename \}/],
    [Buffer.from('a'), /Bytes have no filename/],
    [{ path, name: 'b.txt' }, /unknown key "name"/],
    [{ path, filename: 'b.txt', bytes: 1, headers: {} }, /unknown key "bytes"/],
    [{ io: Buffer.from('a'), filename: 'b.txt', type: 'text/plain' }, /unknown key "type"/],
    [
      { io: Buffer.from('a'), filename: 'b.txt', contentType: {} },
      /contentType of a file is a object: give text/,
    ],
    [{ path, filename: 7 }, /filename of a file is a number/],
    [{ uri: 'file:///a', name: 'a', type: 'b' }, /the keys uri, name, type is no file/],
    [{ originalname: 'a', mimetype: 'b', size: 1, bucket: 'c', key: 'd' }, /the keys originalname/],
    [[text('a')], /is no file/],
    [7, /A number is no file/],
  ] as const)
    await assert.rejects(docs.attachLater([input] as never), (error: Error) => {
      assert.ok(
        code('INVALID_INPUT')(error) && why.test(error.message) && error.message.length < 200,
        String(error),
      )
      return true
    })
  assert.deepEqual(await docs.attachments(), [])
})

test('Fastify: a part that was already read is refused, not stored as an empty file', async (t) => {
  const app = await opened(t)
  await sent(twoDocs, false, async (req) => {
    for await (const part of req.files()) {
      part.file.resume()
      await finished(part.file)
      await assert.rejects(app.docs.attachLater(part), code('INVALID_INPUT'))
    }
  })
  const used = Readable.from([Buffer.from('x')])
  const part: FastifyFile = {
    type: 'file',
    filename: 'x',
    mimetype: 'text/plain',
    file: used,
    toBuffer: () => Promise.resolve(Buffer.alloc(0)),
  }
  await app.carried([part])
  await assert.rejects(app.docs.attachLater(part), /was read before/)
})

test('paths in the parameters of a form are refused, as an index or in snake_case', async (t) => {
  const { docs } = await opened(t)
  for (const key of ['path', 'filepath'])
    for (const input of [
      { '0': { [key]: '/etc/passwd' } },
      { files: { '0': { [key]: '/etc/passwd' } } },
      { files: [{ [key]: '/etc/passwd' }], deleted_ids: '' },
    ])
      await assert.rejects(docs.attachLater(input as never), /cannot name a file of the server/)
  assert.equal((await docs.attachLater([{ path: 'package.json' }]))?.files.length, 1)
})
