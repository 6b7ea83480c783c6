// What the parsers of forms hand over, from the parsers themselves.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { test, type TestContext } from 'node:test'
import multipart, { type MultipartFile } from '@fastify/multipart'
import fastify, { type FastifyRequest } from 'fastify'
import formidable from 'formidable'
import multer from 'multer'
import { hasManyAttached, hasOneAttached, type FastifyFile, type FormidableFile, type ManyInput, type MulterFile } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { text } from './support/storage.ts'

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const code = (expected: string) => (error: unknown) => (error as { code?: string }).code === expected

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
      return Promise.all(attached.map(async (each) => `${each.filename}: ${String(await each.download())}`))
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
async function parsed<T>(form: FormData, parse: (req: IncomingMessage, res: ServerResponse) => Promise<T>): Promise<T> {
  const found = Promise.withResolvers<T>()
  const server = createServer((req, res) => {
    parse(req, res)
      .then(found.resolve, found.reject)
      .finally(() => res.end())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { method: 'POST', body: form })
    return await found.promise
  } finally {
    server.close()
  }
}

/** Submits a form to Fastify, where `handle` gets its request. */
async function sent(form: FormData, attachFieldsToBody: boolean, handle: (req: FastifyRequest) => Promise<void>): Promise<void> {
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
    const upload = multer(where === 'folder' ? { dest: app.folder } : { storage: multer.memoryStorage() })
    const run = async (form: FormData, middleware: ReturnType<typeof upload.any>) =>
      parsed(form, async (req, res) => {
        await new Promise<void>((done, fail) =>
          middleware(req as never, res as never, (error) => (error === undefined ? done() : fail(error))),
        )
        return (req as unknown as { files: unknown }).files
      })
    const list = (await run(twoDocs, upload.array('docs'))) as Express.Multer.File[]
    assert.deepEqual(await app.carried(list satisfies MulterFile[]), both)
    const fields = filled(['docs', text('c')], ['docs', text('d')])
    const { docs } = (await run(fields, upload.fields([{ name: 'docs' }]))) as Record<string, Express.Multer.File[]>
    assert.deepEqual(await app.carried({ files: docs, cleanBefore: true }), ['c.txt: c', 'd.txt: d'])
  }
})

test('formidable: the list of a field', async (t) => {
  const app = await opened(t)
  const [, files] = await parsed(twoDocs, (req) => formidable({ uploadDir: app.folder }).parse(req))
  // In the order in which the parser's own writes to the disk ended.
  assert.deepEqual((await app.carried((files['docs'] ?? []) satisfies FormidableFile[])).toSorted(), both)
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

test('Fastify: a part that was read by somebody else is refused, not stored as an empty file', async (t) => {
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
