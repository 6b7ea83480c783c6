// Each input is read exactly or refused with an error of the library, never cast or trimmed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { ActiveStorageError } from '../src/index.ts'
import { text } from './support/storage.ts'
import { web } from './support/web.ts'
import { after } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { closeDatabases } from './support/databases.ts'
import { retries } from './support/storage.ts'
import { kinds } from './support/databases.ts'
import { fresh } from './support/storage.ts'

const invalid = { code: 'INVALID_INPUT', statusCode: 422 }

test('ids of attachments to delete are read strictly, one by one and as a list', async (t) => {
  const { user } = await web(t)
  const { certificates } = user
  const wrong = [
    [' 1 '],
    ['2\n'],
    ['\t1'],
    ' 1',
    '1, 2',
    [[1]],
    [{ toString: () => '1' }],
    [true],
    true,
    1.5,
    [-1],
    ['-1'],
    [2 ** 53],
    ['1e0'],
    ['0x1'],
    { 0: 1 },
    [Symbol('1')],
    [Object('1')],
    [Object.create(null)],
    new Set([1]),
    [2n ** 63n],
  ]
  await certificates.attach([text('a'), text('b')])
  for (const deletedIds of wrong)
    for (const submit of [certificates.attachLater, certificates.attach])
      await assert.rejects(submit({ deletedIds } as never), invalid, inspect(deletedIds))
  for (const cleanBefore of [
    ' true ',
    'true\n',
    '2',
    2,
    {},
    [{}],
    Symbol('true'),
    Object.create(null),
  ])
    await assert.rejects(
      certificates.attachLater({ cleanBefore } as never),
      invalid,
      inspect(cleanBefore),
    )
  assert.equal((await certificates.attachments()).length, 2)
  const [a, b] = await certificates.attachments()
  // Blanks of a form are skipped.
  await certificates.attachLater({ deletedIds: ['', null, undefined, Number(a!.id)] as never })
  await certificates.attachLater({ deletedIds: `999,,00${b!.id}` as never })
  assert.deepEqual(await certificates.attachments(), [])
})

/** Values that come from a JSON body, a query, or a mistake. */
const things: readonly unknown[] = [
  undefined,
  null,
  '',
  ' ',
  'x',
  'a--b',
  '\0',
  0,
  -1,
  1.5,
  Number.NaN,
  1n,
  true,
  [],
  [[]],
  ['x'],
  [null],
  {},
  { 0: 'x' },
  { toString: () => '7' },
  { catch: 1 },
  Object.create(null),
  Object('x'),
  Symbol('x'),
  () => 'x',
  new Date(Number.NaN),
  new Map(),
  new FormData(),
  Promise.resolve('x'),
  new Uint8Array(1),
  new ReadableStream(),
  { path: '/tmp/\0' },
  { path: '' },
  { path: '/nowhere/at all' },
  { path: '/tmp' },
  { path: ['/tmp'] },
  { filepath: '\0' },
  { originalname: 'x', path: '\0', mimetype: 'x' },
  { io: null, filename: 'x' },
  { io: 'x', filename: 'x' },
  { io: ['x'], filename: 'x' },
  {
    io: new ReadableStream({ start: (controller) => controller.error(new TypeError('broken')) }),
    filename: 'x',
  },
  { io: new Uint8Array(1), filename: ['x'] },
  { io: new Uint8Array(1), filename: '\0\ud800', contentType: '\0/\ud800' },
  { signedId: ['x'] },
  { files: 5, deletedIds: [] },
  { files: null, cleanBefore: null },
]

test('no public call lets an error of Node, the driver or JavaScript escape', async (t) => {
  const { storage, user } = await web(t)
  const given = storage as unknown as Record<string, (...all: unknown[]) => unknown>
  const doors: Readonly<Record<string, (thing: never) => unknown>> = {
    record: (thing) => given['record']!('User', thing),
    'record, of a model': (thing) => given['record']!(thing, 1),
    records: (thing) => storage.records('User', thing),
    'records, one': (thing) => storage.records('User', [thing]),
    stage: (thing) => storage.stage(thing),
    'stage, for': (thing) => storage.stage(text('x'), { for: thing }),
    attach: (thing) => user.photo.attach(thing),
    attachLater: (thing) => user.certificates.attachLater(thing),
    'attachLater, files': (thing) => user.certificates.attachLater({ files: thing }),
    'attachLater, a file': (thing) => user.certificates.attachLater([thing]),
    'attachLater, of the record': (thing) => user.attachLater(thing),
    'attach, of the record': (thing) => user.attach(thing),
    'attachLater, deletedIds': (thing) => user.certificates.attachLater({ deletedIds: thing }),
    'attachLater, cleanBefore': (thing) => user.certificates.attachLater({ cleanBefore: thing }),
    'blobs.find': (thing) => storage.blobs.find(thing),
    'blobs.findSigned': (thing) => storage.blobs.findSigned(thing),
    'blobs.createAndUpload': (thing) => storage.blobs.createAndUpload(thing),
    'blobs.createBeforeDirectUpload': (thing) => storage.blobs.createBeforeDirectUpload(thing),
    'blobs.createBeforeDirectUpload, filename': (thing) =>
      storage.blobs.createBeforeDirectUpload({
        filename: thing,
        byteSize: 1,
        checksum: 'MTIzNDU2Nzg5MDEyMzQ1Ng==',
      }),
    'blobs.createBeforeDirectUpload, checksum': (thing) =>
      storage.blobs.createBeforeDirectUpload({ filename: 'x', byteSize: 1, checksum: thing }),
    'blobs.createBeforeDirectUpload, contentType': (thing) =>
      storage.blobs.createBeforeDirectUpload({
        filename: 'x',
        byteSize: 1,
        checksum: 'MTIzNDU2Nzg5MDEyMzQ1Ng==',
        contentType: thing,
      }),
    'delayedUploads.find': (thing) => storage.delayedUploads.find(thing),
    'delayedUploads.findSigned': (thing) => storage.delayedUploads.findSigned(thing),
    'delayedUploads.list, after': (thing) => storage.delayedUploads.list({ after: thing }),
    'delayedUploads.list, state': (thing) => storage.delayedUploads.list({ state: thing }),
    'delayedUploads.list, model': (thing) => storage.delayedUploads.list({ model: thing }),
    'delayedUploads.list, attachment': (thing) =>
      storage.delayedUploads.list({ attachment: thing }),
    'delayedUploads.list, recordId': (thing) => storage.delayedUploads.list({ recordId: thing }),
    'delayedUploads.list, error': (thing) => storage.delayedUploads.list({ error: thing }),
    'delayedUploads.list, order': (thing) => storage.delayedUploads.list({ order: thing }),
    'delayedUploads.list, createdFrom': (thing) =>
      storage.delayedUploads.list({ createdFrom: thing }),
    'delayedUploads.list, limit': (thing) => storage.delayedUploads.list({ limit: thing }),
    'reconcile, olderThan': (thing) => storage.reconcile({ olderThan: thing }),
    directUploadPath: (thing) => storage.directUploadPath(thing),
    stagedUploadPath: (thing) => storage.stagedUploadPath(thing),
  }
  const raw: string[] = []
  for (const [door, enter] of Object.entries(doors))
    for (const thing of things)
      try {
        await enter(thing as never)
      } catch (error) {
        if (!(error instanceof ActiveStorageError))
          raw.push(`${door} of ${inspect(thing)}: ${inspect(error).split('\n', 1)[0]}`)
      }
  assert.deepEqual(raw, [])
})

test('an object without files by name is refused as a form of a record', async (t) => {
  const { user } = await web(t)
  const wrong = [
    undefined,
    null,
    'x',
    7,
    [text('x')],
    text('x'),
    new FormData(),
    new Map([['photo', text('x')]]),
    Promise.resolve({}),
  ]
  for (const files of wrong)
    for (const submit of [user.attachLater, user.attach])
      await assert.rejects(submit(files as never), invalid, inspect(files))
})

test('an invalid id finds nothing by being cast', async (t) => {
  const { storage, user } = await web(t)
  await user.photo.attach(text('photo'))
  const upload = await user.certificates.attachLater(text('x'))
  const blob = (await user.photo.attachment())!.blob
  for (const id of [
    [blob.id],
    { toString: () => blob.id },
    Object(blob.id),
    ` ${blob.id}`,
    Number(blob.id) + 0.5,
    true,
  ])
    await assert.rejects(storage.blobs.find(id as never), invalid, inspect(id))
  // Capitals are no cast: deletedIds takes them too.
  assert.equal(await storage.blobs.find('019AC0DE-0000-7000-8000-00000000000A'), null)
  for (const id of [[upload!.id], { toString: () => upload!.id }, Object(upload!.id), 7, null])
    await assert.rejects(storage.delayedUploads.find(id as never), invalid, inspect(id))
  assert.equal(await storage.blobs.findSigned([blob.signedId] as never), null)
  assert.equal(await storage.delayedUploads.findSigned([upload!.signedId] as never), null)
})

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

test('unusual input is refused or converted', async (t) => {
  const { storage } = await testStorage(models, { retries })
  t.after(() => storage.close())
  const { docs } = storage.record('User', 1)
  for (const parameters of [
    { files: { 0: { path: '/etc/passwd' } } },
    { files: [{ filepath: '/etc/passwd', mimetype: 'x' }], deleted_ids: '' },
  ])
    await assert.rejects(docs.attachLater(parameters as never), {
      code: 'INVALID_INPUT',
      message: /of the server/,
    })
  await assert.rejects(docs.attachLater(Buffer.alloc(20_000_000) as never), {
    code: 'INVALID_INPUT',
    message: /Bytes have no filename/,
  })
  await docs.attachLater({
    io: Buffer.from('x'),
    filename: 'x',
    contentType: `application/${'x'.repeat(300)}`,
  })
  await storage.drain({ throwOnError: true })
  assert.equal((await docs.attachments())[0]?.contentType, 'application/octet-stream')
})

test('objects of a request in place of ids and cleanBefore are refused, whatever their text', async (t) => {
  const { storage } = await testStorage({ User: { docs: hasManyAttached() } })
  t.after(() => storage.close())
  const { docs } = storage.record('User', 1)
  const [kept] = await docs.attach(text('kept'))
  const throws = (): never => {
    throw new Error('of the object')
  }
  const odd: readonly unknown[] = [
    { toString: throws },
    { toString: 'no function' },
    { toString: () => kept?.id },
    { toString: () => 'true' },
    { toString: () => '' },
    Object.create(null),
    { valueOf: () => 1, toString: () => 1 },
    Symbol('an id'),
    () => kept?.id,
  ]
  for (const each of odd) {
    for (const changes of [
      { deletedIds: each },
      { deletedIds: [each] },
      { deletedIds: [kept?.id, each] },
      { deletedIds: [[each]] },
    ])
      await assert.rejects(docs.attachLater({ files: [], ...changes } as never), {
        code: 'INVALID_INPUT',
      })
    for (const cleanBefore of [each, [each], ['0', each]])
      await assert.rejects(docs.attachLater({ files: [], cleanBefore } as never), {
        code: 'INVALID_INPUT',
      })
  }
  assert.equal((await docs.attachments()).length, 1)
})

for (const kind of kinds)
  test(`${kind.name}: blobs.find returns no blob for an id that its column cannot hold`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const { blobs } = app.storage
    const { id } = await blobs.createAndUpload(new File(['x'], 'x'))
    // MySQL reads a text as the number that it begins with.
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
