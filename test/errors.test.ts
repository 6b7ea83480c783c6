// What goes wrong outside of the library is told as an error of its own: what happened, to what, and what to do.
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import {
  ConfigurationError,
  FormLimitError,
  hasManyAttached,
  hasOneAttached,
  type Database,
} from '../src/index.ts'
import { kinds, stopEmbedded } from './support/databases.ts'
import { fresh, storageOn } from './support/storage.ts'
import { tinyDisk } from './support/tiny-disk.ts'

after(() => stopEmbedded())

const sqliteKind = kinds.find((kind) => kind.name === 'SQLite')!
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

const usual = process.env['TMPDIR']
function temporaryFolder(t: TestContext, folder: string): void {
  process.env['TMPDIR'] = folder
  t.after(() => {
    if (usual === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = usual
  })
}

async function* yielding(pieces: readonly unknown[]): AsyncGenerator<never> {
  for (const piece of pieces) yield piece as never
}

test('a file that is not there, or yields no bytes, is the input’s fault, now as later', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  const missing = { path: '/nowhere/at all.pdf' }
  const expected = {
    code: 'INVALID_INPUT',
    message: /at all\.pdf could not be read to its end: ENOENT/,
  }
  const words = { filename: 'words.txt', io: yielding(['text']) }
  await assert.rejects(photo.attachLater(missing), expected)
  await assert.rejects(photo.attach(missing), expected)
  await assert.rejects(app.storage.blobs.createAndUpload(missing), expected)
  await assert.rejects(photo.attach(words), {
    code: 'INVALID_INPUT',
    message: /words\.txt yields string, not bytes/,
  })
  await photo.attach(missing).catch((error: unknown) =>
    assert.deepEqual((error as { details: unknown }).details, {
      record: { type: 'User', id: '1' },
      attachment: 'photo',
      filename: 'at all.pdf',
    }),
  )
  assert.equal(app.service.uploads, 0)
})

test('a temporary folder that is full, or not there, is told as such, and nothing stays in it', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  const tiny = await tinyDisk(1)
  t.after(() => tiny?.close())
  if (tiny === null) t.diagnostic('no disk can be mounted here: the full one is skipped')
  else {
    temporaryFolder(t, tiny.folder)
    const large = { io: Buffer.alloc(2 << 20), filename: 'large.bin' }
    const full = {
      code: 'SERVICE',
      retryable: true,
      message: /large\.bin could not be written to the temporary folder .*Its disk is full/,
    }
    await assert.rejects(photo.attach(large), full)
    assert.deepEqual(await readdir(tiny.folder), [])
  }
  temporaryFolder(t, '/nowhere')
  await assert.rejects(photo.attach({ io: Buffer.from('x'), filename: 'x' }), {
    code: 'SERVICE',
    message: /temporary folder \/nowhere.*Set TMPDIR/,
  })
})

test('a signal stops a transfer while its bytes come in, and reaches the service', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { blobs } = app.storage
  const folder = await mkdtemp(join(tmpdir(), 'signal-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  temporaryFolder(t, folder)
  const stopped = new AbortController()
  const never = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('x')
    stopped.abort(new Error('enough'))
    await new Promise(() => undefined)
  }
  await assert.rejects(
    blobs.createAndUpload({ io: never(), filename: 'x' }, { signal: stopped.signal }),
    /enough/,
  )
  assert.equal(app.service.uploads, 0)
  assert.deepEqual(await readdir(folder), [])
  const gate = Promise.withResolvers<void>()
  app.service.gate = gate.promise
  const later = new AbortController()
  const transfer = blobs.createAndUpload(new File(['x'], 'x'), { signal: later.signal })
  later.abort(new Error('too late'))
  gate.resolve()
  await assert.rejects(transfer, /too late/)
  assert.equal(app.service.objects.size, 0)
})

for (const kind of kinds)
  test(`${kind.name}: blobs.find knows no blob by an id that its column cannot hold`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const { blobs } = app.storage
    const { id } = await blobs.createAndUpload(new File(['x'], 'x'))
    // To MySQL, a text is the number that it begins with.
    const alike = `${`${id}a`.padEnd(8, '0')}-0000-7000-8000-000000000000`
    for (const unknown of [
      '9223372036854775807',
      '9999999999999999999',
      9999999999999999999n,
      alike,
    ])
      assert.equal(await blobs.find(unknown), null)
    for (const known of [id, BigInt(id), Number(id), `000${id}`])
      assert.equal((await blobs.find(known))?.id, id)
    await assert.rejects(blobs.find('1 or 1=1'), { code: 'INVALID_INPUT' })
  })

test('a row that was inserted and is read elsewhere is told with the reason', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  let lagging = /active_storage_blobs/
  /** A proxy that sends reads to a replica. */
  const split = (executor: Database<never>['executor']): Database<never>['executor'] => ({
    run: async (sql, parameters) => {
      const result = await executor.run(sql, parameters)
      return sql.startsWith('select') && lagging.test(sql) ? { ...result, rows: [] } : result
    },
  })
  const inner = app.made.another()
  const database: Database<never> = {
    ...inner,
    returning: false,
    executor: split(inner.executor),
    transaction: (run) =>
      inner.transaction(({ tx, executor }) => run({ tx, executor: split(executor) })),
  }
  const storage = storageOn(database, models, app.service)
  t.after(() => storage.close())
  const { photo } = storage.record('User', 1)
  await assert.rejects(photo.attach(new File(['x'], 'x')), {
    code: 'CONFIGURATION',
    message: /^The blob with key .* connect past it/,
  })
  lagging = /from "active_storage_attachments" as "a" inner join/
  await assert.rejects(photo.attach(new File(['x'], 'x')), {
    code: 'CONFIGURATION',
    message: /^The attachment of the blob \d+ /,
  })
})

test('PostgreSQL: a staged chunk without bytes is told with its file', async (t) => {
  const app = await fresh(
    t,
    kinds.find((kind) => kind.name === 'PostgreSQL')!,
    models,
  )
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  const upload = await photo.attachLater(new File(['x'], 'x'))
  await app.storage.transaction((tx) =>
    app.made.execute(tx, "update activestorage_delayed_chunks set data = ''"),
  )
  const [file] = upload!.files
  await assert.rejects(file!.download(), {
    code: 'INTEGRITY',
    message: new RegExp(`staged file ${file!.id} has a chunk without bytes`),
  })
})

test('an error has the shape by which frameworks know one of HTTP, and tells them not to show its message', () => {
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
