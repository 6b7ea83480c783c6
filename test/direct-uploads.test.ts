// Files that a browser uploads directly in Rails' protocol, or stages before its form.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { sqlite } from '../src/database/sqlite.ts'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { disk } from '../src/services/disk.ts'
import { createClock } from '../src/testing/clock.ts'
import { storageOn } from './support/storage.ts'
import { asking, web, webModels, type Answer } from './support/web.ts'

const md5 = (data: string | Uint8Array): string => createHash('md5').update(data).digest('base64')
/** Builds JSON of many levels, which `JSON.stringify` cannot write. */
const nestedJson = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
const hello = {
  filename: 'up.txt',
  content_type: 'text/plain',
  byte_size: 5,
  checksum: md5('hello'),
}
type Ask = ReturnType<typeof asking>
const announce = (
  ask: Ask,
  path: string,
  blob: unknown,
  contentType = 'application/json',
): Promise<Answer> =>
  ask(path, {
    method: 'POST',
    headers: { 'content-type': contentType },
    body: JSON.stringify({ blob }),
  })
interface Announced {
  readonly signed_id: string
  readonly direct_upload: { readonly url: string; readonly headers: Record<string, string> }
}
const announced = (answer: Answer): Announced => answer.json() as unknown as Announced

test("the response is Rails' own, key by key", async (t) => {
  const { storage, ask } = await web(t)
  const path = `${storage.basePath}/direct_uploads`
  const answer = await announce(ask, path, {
    ...hello,
    metadata: { a: 1, analyzed: true, identified: true, composed: true, custom: { x: 'y' } },
  })
  assert.equal(answer.status, 200)
  const body = answer.json()
  assert.deepEqual(Object.keys(body), [
    'id',
    'key',
    'filename',
    'content_type',
    'metadata',
    'service_name',
    'byte_size',
    'checksum',
    'created_at',
    'signed_id',
    'direct_upload',
  ])
  const {
    id,
    key,
    metadata,
    service_name: service,
    created_at: created,
    direct_upload: target,
  } = body
  assert.deepEqual([typeof id, metadata, service], ['number', { a: 1, custom: { x: 'y' } }, 'test'])
  assert.match(String(key), /^[a-z0-9]{28}$/)
  assert.match(String(created), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.deepEqual((target as Announced['direct_upload']).headers, { 'Content-Type': 'text/plain' })
  const sizes = await announce(ask, path, {
    ...hello,
    byte_size: '5',
    key: 'evil',
    service_name: 'evil',
    id: 7,
  })
  assert.deepEqual(
    [sizes.json()['byte_size'], sizes.json()['service_name'], sizes.json()['key'] === 'evil'],
    [5, 'test', false],
  )
  const untyped = await announce(ask, path, {
    filename: 'a',
    byte_size: 5,
    checksum: hello.checksum,
  })
  assert.deepEqual(
    [untyped.status, untyped.json()['content_type']],
    [200, 'application/octet-stream'],
  )
})

test('an invalid announcement is refused, and leaves no blob', async (t) => {
  const { storage, ask, query } = await web(t)
  const path = `${storage.basePath}/direct_uploads`
  for (const [blob, status] of [
    [undefined, 400],
    [[hello], 400],
    ['text', 400],
    [{ ...hello, filename: undefined }, 422],
    [{ ...hello, filename: '  ' }, 422],
    [{ ...hello, filename: { a: 1 } }, 422],
    [{ ...hello, checksum: undefined }, 422],
    [{ ...hello, checksum: 'abc' }, 422],
    [{ ...hello, checksum: [hello.checksum] }, 422],
    [{ ...hello, byte_size: -1 }, 422],
    [{ ...hello, byte_size: 1.5 }, 422],
    [{ ...hello, byte_size: '1e3' }, 422],
    [{ ...hello, byte_size: 2 ** 60 }, 422],
    [{ ...hello, byte_size: undefined }, 422],
  ] as const) {
    const answer = await announce(ask, path, blob)
    assert.equal(answer.status, status, JSON.stringify(blob))
    assert.deepEqual(Object.keys(answer.json()), ['error', 'code'])
  }
  const deep = `{"blob":${JSON.stringify({ ...hello, metadata: {} }).replace('{}', nestedJson(9_000))}}`
  const tooDeep = await ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: deep,
  })
  assert.deepEqual([tooDeep.status, tooDeep.json()['code']], [422, 'INVALID_INPUT'])
  assert.equal((await announce(ask, path, hello, 'text/plain')).status, 415)
  for (const body of [
    '',
    '{',
    '[]',
    'null',
    '1',
    `{"blob":${'['.repeat(30_000)}`,
    JSON.stringify({ blob: hello, more: 'x'.repeat(70_000) }),
  ]) {
    const { status } = await ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    assert.ok(status === 400 || status === 422, `${body.slice(0, 20)}: ${status}`)
  }
  // Within the limits of the attachment that the page was made for.
  const photo = storage.directUploadPath('User.photo')
  const large = await announce(ask, photo, { ...hello, byte_size: 2_000_000 })
  assert.deepEqual([large.status, large.json()['code']], [413, 'FILE_TOO_LARGE'])
  const other = await announce(ask, photo, { ...hello, filename: 'a.pdf' })
  assert.deepEqual([other.status, other.json()['code']], [415, 'FILE_TYPE_NOT_ACCEPTED'])
  assert.equal((await announce(ask, `${path}/forged`, hello)).status, 404)
  assert.deepEqual(await query('select count(*) as n from active_storage_blobs'), [{ n: 0 }])
  assert.throws(
    () => storage.directUploadPath('User.nothing' as never),
    /no attachment "User\.nothing"/,
  )
})

test('announced bytes are stored once, if they match, and attached by signed id', async (t) => {
  const { storage, ask, user, service } = await web(t)
  const { signed_id: signedId, direct_upload: target } = announced(
    await announce(ask, storage.directUploadPath('User.photo'), hello),
  )
  const put = (body: string, headers: Record<string, string> = target.headers): Promise<Answer> =>
    ask(target.url, { method: 'PUT', headers, body })
  await assert.rejects(user.photo.attach(signedId), { code: 'FILE_NOT_FOUND' })
  assert.equal((await put('hello', { 'Content-Type': 'text/html' })).status, 422)
  assert.equal((await put('hullo')).status, 422)
  assert.equal((await put('hello there')).status, 422)
  assert.equal((await put('hello', { ...target.headers, 'Content-Length': '6' })).status, 422)
  assert.equal(service.objects.size, 0)
  assert.equal((await put('hello', { 'Content-Type': 'text/plain; charset=utf-8' })).status, 204)
  const again = await put('hello')
  assert.deepEqual([again.status, again.json()['code']], [409, 'ALREADY_UPLOADED'])
  await user.photo.attach(signedId)
  assert.equal((await (await user.photo.attachment())?.download())?.toString(), 'hello')
  await user.photo.purge()
  // A purged object does not come back.
  assert.equal((await put('hello')).status, 404)
  assert.equal(service.objects.size, 0)
})

test('a false content type is found when the file is attached', async (t) => {
  const { storage, ask, user } = await web(t)
  const bytes = '<!doctype html><script>alert(1)</script>'
  const blob = {
    filename: 'a.png',
    content_type: 'image/png',
    byte_size: bytes.length,
    checksum: md5(bytes),
  }
  const { signed_id: signedId, direct_upload: target } = announced(
    await announce(ask, storage.directUploadPath('User.photo'), blob),
  )
  assert.equal(
    (await ask(target.url, { method: 'PUT', headers: target.headers, body: bytes })).status,
    204,
  )
  await assert.rejects(user.photo.attach(signedId), { code: 'FILE_TYPE_NOT_ACCEPTED' })
  assert.equal(await user.photo.attached(), false)
})

test('a blob is refused when its row and its first bytes differ in size', async (t) => {
  const { user, query, storage, service } = await web(t)
  await service.upload('object', [Buffer.from('hello')] as never, {
    byteSize: 5,
    checksum: md5('hello'),
  })
  for (const [byteSize, isRefused] of [
    [4, true],
    [6, true],
    [70_000, true],
    [5, false],
  ] as const) {
    await query(
      `insert into active_storage_blobs (key, filename, service_name, byte_size, checksum, metadata, created_at) values ('object', 'a.txt', 'test', ${byteSize}, '${md5('hello')}', '{}', 0)`,
    )
    const [row] = await query("select id from active_storage_blobs where key = 'object'")
    const blob = await storage.blobs.find(String(row?.['id']))
    const attached = user.photo.attach(blob?.signedId)
    if (isRefused)
      await assert.rejects(attached, { code: 'INTEGRITY', message: /correct byte_size/ })
    else await attached
    if (isRefused) await query("delete from active_storage_blobs where key = 'object'")
  }
})

test("the name of an announced file counts before the browser's type; at attach its bytes count", async (t) => {
  const models = {
    User: {
      photo: hasOneAttached({ accept: ['text/csv', 'application/zip', 'audio/*'] }),
      certificates: hasManyAttached(),
    },
  }
  const { storage, ask, user, query } = await web(t, { models })
  const announceAs = async (filename: string, type: string | undefined, bytes: string) => {
    const blob = { filename, content_type: type, byte_size: bytes.length, checksum: md5(bytes) }
    const answer = await announce(ask, storage.directUploadPath('User.photo'), blob)
    return { status: answer.status, body: announced(answer), bytes }
  }
  // Firefox on Windows, and other browsers, declare these types.
  const csv = await announceAs('data.csv', 'application/vnd.ms-excel', 'a,b')
  assert.deepEqual([csv.status, csv.body.direct_upload.headers['Content-Type']], [200, 'text/csv'])
  assert.equal((await announceAs('a.zip', 'application/x-zip-compressed', 'PK')).status, 200)
  assert.equal((await announceAs('data', 'application/x-zip-compressed', 'PK')).status, 200)
  assert.equal((await announceAs('sound.webm', 'video/webm', 'a')).status, 200)
  assert.equal((await announceAs('a.png', 'text/csv', 'a')).status, 415)
  // An unknown type is identified from the bytes.
  for (const [bytes, code] of [
    ['PK\x03\x04' + '\0'.repeat(40), undefined],
    ['%PDF-1.5', 'FILE_TYPE_NOT_ACCEPTED'],
  ] as const) {
    const { status, body } = await announceAs('data', undefined, bytes)
    assert.equal(status, 200)
    assert.equal(
      (
        await ask(body.direct_upload.url, {
          method: 'PUT',
          headers: body.direct_upload.headers,
          body: bytes,
        })
      ).status,
      204,
    )
    const attached = user.photo.attach(body.signed_id)
    if (code === undefined) await attached
    else await assert.rejects(attached, { code })
  }
  assert.deepEqual(
    await query(
      'select content_type as type from active_storage_blobs where id = (select max(blob_id) from active_storage_attachments)',
    ),
    [{ type: 'application/zip' }],
  )
})

test('a file whose blob is purged while its bytes arrive is refused, and leaves nothing on disk', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'disk-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  const handle = new DatabaseSync(':memory:')
  const clock = createClock(handle)
  const service = disk({ root })
  const storage = storageOn(sqlite(handle), webModels, service)
  t.after(() => storage.close())
  await storage.migrate()
  const { blob, url, headers } = await storage.blobs.createBeforeDirectUpload({
    filename: 'a.txt',
    byteSize: 5,
    checksum: md5('hello'),
    contentType: 'text/plain',
  })
  const files = async () =>
    (await readdir(root, { recursive: true, withFileTypes: true })).filter((each) => each.isFile())
  const half = Promise.withResolvers<void>()
  const rest = Promise.withResolvers<void>()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(Buffer.from('hel'))
      half.resolve()
      await rest.promise
      controller.enqueue(Buffer.from('lo'))
      controller.close()
    },
  })
  const sending = asking(storage)(url, {
    method: 'PUT',
    headers: { ...headers },
    body,
    duplex: 'half',
  })
  await half.promise
  await blob.purge()
  await storage.drain()
  rest.resolve()
  assert.deepEqual([(await sending).status, await files()], [404, []])
  // The process that took the bytes ended before it could check the blob.
  await service.upload(blob.key, [Buffer.from('x')] as never, { byteSize: 1, checksum: md5('x') })
  clock.advance('24h')
  await storage.drain()
  assert.equal((await files()).length, 1)
  clock.advance('6m')
  await storage.drain()
  assert.deepEqual(await files(), [])
})

test('an app can announce files too', async (t) => {
  const { storage, ask, user } = await web(t, { staging: { maxSize: '10 B' } })
  const file = { filename: 'a.txt', byteSize: 5, checksum: md5('hello'), contentType: 'text/plain' }
  const { blob, url, headers } = await storage.blobs.createBeforeDirectUpload(file)
  assert.equal(
    (await ask(url, { method: 'PUT', headers: { ...headers }, body: 'hello' })).status,
    204,
  )
  await user.certificates.attach(blob)
  assert.equal((await user.certificates.attachments()).length, 1)
  await assert.rejects(storage.blobs.createBeforeDirectUpload({ ...file, byteSize: 11 }), {
    code: 'FILE_TOO_LARGE',
  })
  await assert.rejects(storage.blobs.createBeforeDirectUpload({ ...file, service: 'none' }), {
    code: 'CONFIGURATION',
  })
})

test('a file is staged before its form: as the body, or in a form', async (t) => {
  const { storage, ask, user, query } = await web(t)
  const path = storage.stagedUploadPath('User.photo')
  const form = new FormData()
  form.set('file', new File(['in a form'], 'né.txt', { type: 'text/plain' }))
  for (const [init, content] of [
    [
      {
        headers: { 'content-type': 'text/plain', 'x-filename': 'n%C3%A9.txt' },
        body: 'as the body',
      },
      'as the body',
    ],
    [{ body: form }, 'in a form'],
  ] as const) {
    const answer = await ask(path, { method: 'POST', ...init })
    assert.equal(answer.status, 201, answer.text)
    const staged = answer.json()
    assert.deepEqual(
      [staged['filename'], staged['byteSize'], staged['contentType']],
      ['né.txt', content.length, 'text/plain'],
    )
    assert.equal((await ask(String(staged['path']))).text, content)
    await user.photo.attachLater(String(staged['signedId']))
    // Once submitted it is nobody's to give up.
    assert.equal((await ask(String(staged['discardPath']), { method: 'DELETE' })).status, 204)
    assert.equal((await ask(String(staged['path']))).text, content)
  }
  for (const [init, status, code] of [
    [{ headers: { 'x-filename': 'a.pdf' }, body: '%PDF-1.4' }, 415, 'FILE_TYPE_NOT_ACCEPTED'],
    [{ headers: { 'x-filename': 'a.txt' }, body: 'x'.repeat(1_100_000) }, 413, 'FILE_TOO_LARGE'],
    [{ body: 'no name' }, 422, 'INVALID_INPUT'],
    [{ headers: { 'x-filename': '%zz' }, body: 'no name' }, 422, 'INVALID_INPUT'],
    [{ headers: { 'x-filename': '%00' }, body: 'no name' }, 422, 'INVALID_INPUT'],
    [{ headers: { 'x-filename': '%20' }, body: 'no name' }, 422, 'INVALID_INPUT'],
    [
      { headers: { 'content-type': 'multipart/form-data' }, body: 'no boundary' },
      422,
      'INVALID_INPUT',
    ],
    [{ body: new FormData() }, 422, 'INVALID_INPUT'],
  ] as const) {
    const answer = await ask(path, { method: 'POST', ...init })
    assert.deepEqual([answer.status, answer.json()['code']], [status, code], answer.text)
  }
  const two = new FormData()
  two.append('a', new File(['1'], '1.txt'))
  two.append('b', new File(['2'], '2.txt'))
  assert.equal((await ask(path, { method: 'POST', body: two })).json()['code'], 'FORM_LIMIT')
  await storage.sweep()
  assert.deepEqual(
    await query(
      "select count(*) as n from activestorage_delayed_files where state in ('staging', 'staged') and upload_token is null",
    ),
    [{ n: 0 }],
  )
})

test('each request calls authorize with its subject', async (t) => {
  const asked: string[] = []
  const uploads: string[] = []
  let allowed: (name: string | undefined) => boolean = () => true
  const { storage, ask, user } = await web(t, {
    authorize: (
      _request: Request,
      { action, blob, record, model, name }: import('../src/index.ts').AuthorizeSubject,
    ) => {
      if (record !== undefined) assert.equal(model, record.type)
      else if (model !== undefined) uploads.push(`${action} ${model}.${String(name)}`)
      asked.push(
        [action, blob?.filename, record && `${record.type} ${record.id}`, name]
          .map(String)
          .join(' '),
      )
      return allowed(name)
    },
  })
  const told = async (
    path: string,
    init?: RequestInit,
  ): Promise<readonly [number, readonly string[]]> => {
    asked.length = 0
    return [(await ask(path, init)).status, [...asked]]
  }
  for (const path of [
    storage.stagedUploadPath('User.photo'),
    storage.directUploadPath('User.photo'),
  ])
    await ask(path, { method: 'POST' })
  assert.deepEqual(uploads, ['upload User.photo', 'upload User.photo'])
  await user.photo.attach({ io: Buffer.from('x'), filename: 'x.txt' })
  const photo = (await user.photo.attachment()) ?? assert.fail()
  await storage.record('User', 2).certificates.attach(photo.blob)
  assert.deepEqual(await told(photo.path()), [302, ['read x.txt User 1 photo']])
  assert.deepEqual(await told(await photo.url()), [200, ['read x.txt User 1 photo']])
  const proxied = await ask(photo.path({ proxy: true }))
  assert.equal(proxied.headers.get('cache-control'), 'max-age=0, private, must-revalidate')
  // A visitor who may see one record of the blob may see the blob.
  allowed = (name) => name === 'certificates'
  assert.deepEqual(await told(photo.path()), [
    302,
    ['read x.txt User 1 photo', 'read x.txt User 2 certificates'],
  ])
  const upload = await user.certificates.attachLater({ io: Buffer.from('y'), filename: 'y.txt' })
  assert.deepEqual(await told(upload?.path() ?? ''), [200, ['read undefined User 1 certificates']])
  assert.deepEqual(await told(upload?.files[0]?.path() ?? ''), [
    200,
    ['read undefined User 1 certificates'],
  ])
  await storage.drain()
  assert.deepEqual(await told(upload?.path() ?? ''), [200, ['read undefined User 1 certificates']])
  allowed = () => false
  for (const path of [
    photo.path(),
    photo.path({ proxy: true }),
    await photo.url(),
    upload?.path() ?? '',
    upload?.files[0]?.path() ?? '',
  ]) {
    const answer = await ask(path)
    assert.deepEqual(
      [answer.status, answer.json()['code'], answer.headers.get('cache-control')],
      [403, 'FORBIDDEN', 'no-store'],
    )
  }
  assert.deepEqual(
    await told(storage.stagedUploadPath('User.photo'), { method: 'POST', body: 'x' }),
    [403, ['upload undefined undefined photo']],
  )
  assert.deepEqual(
    (await told(`${storage.basePath}/direct_uploads`, { method: 'POST', body: 'x' }))[0],
    403,
  )
  allowed = () => {
    throw new Error('the app fails')
  }
  assert.equal((await ask(photo.path())).status, 500)
})
