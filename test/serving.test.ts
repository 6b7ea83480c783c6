// Stored files are served as Rails serves them, and as HTTP requires.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { sqlite } from '../src/database/sqlite.ts'
import type { Database } from '../src/adapters.ts'
import { disk } from '../src/services/disk.ts'
import { hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { storageOn, text } from './support/storage.ts'
import { asking, web, webModels, type Answer } from './support/web.ts'

interface Vector {
  readonly group: string
  readonly input: {
    readonly case: string
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
  }
  readonly expect: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  }
}
const { vectors } = JSON.parse(
  await readFile(new URL('vectors/rails.json', import.meta.url), 'utf8'),
) as { vectors: Vector[] }
const http = vectors.filter(
  ({ group, input }) => group === 'http' && /^(redirect|proxy|disk (show|range))/.test(input.case),
)

/** Rails' first file of the vectors, and one whose bytes are gone. */
async function rails(t: TestContext) {
  const app = await web(t)
  const attached = await app.user.certificates.attach([
    { io: Buffer.from('0123456789'), filename: 'né a.png', contentType: 'image/png' },
    { io: Buffer.from('gone'), filename: 'g.png', contentType: 'image/png' },
  ])
  const [file, gone] = attached
  if (file === undefined || gone === undefined) return assert.fail()
  await app.service.delete(gone.blob.key)
  return { ...app, file, gone }
}

/** Answers that differ from Rails' on purpose, by request. */
const otherwise: Readonly<Record<string, string>> = {
  'proxy range bytes=9-0': 'an end before its start is no range of HTTP: the header is ignored',
  'disk range bytes=0-3,5-6':
    'several ranges are refused at each route, as Rails refuses them where it proxies',
}
/** Headers that differ on purpose. */
function expected(vector: Vector, name: string): string | null {
  const { status, headers } = vector.expect
  if (status >= 400) return name === 'Cache-Control' ? 'no-store' : null
  // A part may be kept like the whole: it has the whole's tag.
  if (name === 'Cache-Control' && status === 206 && vector.input.path.includes('proxy'))
    return 'max-age=3155695200, public, immutable'
  if (name === 'Content-Type' && status === 302) return null
  if (name === 'Content-Length' && status === 302) return null
  return headers[name] ?? null
}

test('each request to Rails gets the same response here, or a better one', async (t) => {
  const { storage, ask, file, gone } = await rails(t)
  assert.ok(http.length >= 20)
  const diskToken = (path: string): string => path.split('/')[4] ?? ''
  const tokens = {
    good: { blob: file.path().split('/')[5] ?? '', disk: diskToken(await file.url()) },
    gone: { blob: gone.path().split('/')[5] ?? '', disk: diskToken(await gone.url()) },
    expired: diskToken(await file.url({ expiresIn: '1ms' })),
  }
  const missing = storageOn(sqlite(':memory:'), webModels, disk({ root: 'nowhere' }))
  t.after(() => missing.close())
  for (const vector of http) {
    const { case: name, method, path, headers } = vector.input
    if (name in otherwise) continue
    const set = name.includes('missing file') ? tokens.gone : tokens.good
    let token = path.includes('/disk/') ? set.disk : set.blob
    if (name.includes('expired')) continue
    if (name === 'redirect bad id') token = `${token}x`
    if (name === 'redirect missing row') {
      await missing.migrate()
      assert.equal(
        (await asking(missing)(path.replace('TOKEN', token), { method })).status,
        404,
        name,
      )
      continue
    }
    const range = headers['HTTP_RANGE']
    const answer = await ask(path.replace('TOKEN', token), {
      method,
      headers: range === undefined ? {} : { range },
    })
    assert.equal(answer.status, vector.expect.status, name)
    for (const header of Object.keys(vector.expect.headers)) {
      const value = expected(vector, header)
      if (value === null) continue
      const given = answer.headers.get(header)
      if (value === '(present)') assert.notEqual(given, null, `${name}: ${header}`)
      else if (header === 'Location')
        assert.match(given ?? '', /^\/rails\/active_storage\/disk\/[^/]+\/n%C3%A9%20a\.png$/, name)
      else assert.equal(given, value, `${name}: ${header}`)
    }
    if (vector.expect.status < 300) assert.equal(answer.text, vector.expect.body, name)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', name)
  }
  assert.equal((await ask(file.path().replace('/x', '/'))).status, 302)
  await storage.close()
})

const parts: readonly (readonly [
  range: string,
  status: number,
  text: string,
  contentRange?: string,
])[] = [
  ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
  ['bytes=9-', 206, '9', 'bytes 9-9/10'],
  ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
  ['bytes=10-', 416, '', 'bytes */10'],
  ['bytes=0-1,3-4', 416, '', 'bytes */10'],
  ['bytes=5-4', 200, '0123456789'],
]

test('ranges are served as HTTP requires', async (t) => {
  const { ask, file, user } = await rails(t)
  for (const path of [file.path({ proxy: true }), await file.url()]) {
    for (const [range, status, text, contentRange] of parts) {
      const answer = await ask(path, { headers: { range } })
      assert.deepEqual(
        [answer.status, answer.text, answer.headers.get('content-range')],
        [status, text, contentRange ?? null],
        range,
      )
      if (status < 300) assert.equal(answer.headers.get('content-length'), String(text.length))
      assert.equal(answer.headers.get('cache-control') === 'no-store', status === 416)
    }
    // A range is for GET alone.
    assert.equal(
      (await ask(path, { method: 'HEAD', headers: { range: 'bytes=0-0' } })).headers.get(
        'content-length',
      ),
      '10',
    )
  }
  await user.photo.attach({ io: Buffer.alloc(0), filename: 'empty.txt' })
  const empty = (await user.photo.attachment())?.path({ proxy: true }) ?? assert.fail()
  assert.deepEqual(
    [(await ask(empty)).status, (await ask(empty)).headers.get('content-length')],
    [200, '0'],
  )
  assert.equal((await ask(empty, { headers: { range: 'bytes=0-' } })).status, 416)
})

test('conditional requests get the responses that HTTP requires', async (t) => {
  const { ask, file } = await rails(t)
  const path = file.path({ proxy: true })
  const whole = await ask(path)
  const etag = whole.headers.get('etag') ?? ''
  const modified = whole.headers.get('last-modified') ?? ''
  const before = new Date(Date.parse(modified) - 1000).toUTCString()
  const status = async (headers: Record<string, string>, method = 'GET'): Promise<number> =>
    (await ask(path, { method, headers })).status
  assert.match(etag, /^"[^"]+"$/)
  for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*'])
    assert.equal(await status({ 'if-none-match': tag }), 304, tag)
  assert.equal(await status({ 'if-none-match': etag }, 'HEAD'), 304)
  assert.equal(await status({ 'if-none-match': '"x"' }), 200)
  assert.equal(await status({ 'if-modified-since': modified }), 304)
  assert.equal(await status({ 'if-modified-since': before }), 200)
  // The tag is the better witness.
  assert.equal(await status({ 'if-none-match': '"x"', 'if-modified-since': modified }), 200)
  const fresh = await ask(path, { headers: { 'if-none-match': etag } })
  assert.deepEqual(
    [fresh.text, fresh.headers.get('etag'), fresh.headers.get('cache-control')],
    ['', etag, whole.headers.get('cache-control')],
  )
  // If-Match must hold for the bytes that the client means.
  for (const tag of [etag, `"x", ${etag}`, '*'])
    assert.equal(await status({ 'if-match': tag }), 200, tag)
  for (const tag of ['"x"', `W/${etag}`, ''])
    assert.equal(await status({ 'if-match': tag }), 412, tag)
  assert.equal(await status({ 'if-unmodified-since': modified }), 200)
  assert.equal(await status({ 'if-unmodified-since': before }), 412)
  assert.equal(await status({ 'if-unmodified-since': '1994' }), 200)
  assert.equal(await status({ 'if-match': etag, 'if-unmodified-since': before }), 200)
  assert.equal(await status({ 'if-match': '"x"', 'if-none-match': etag }), 412)
  const failed = await ask(path, { headers: { 'if-match': '"x"', range: 'bytes=0-1' } })
  assert.deepEqual(
    [failed.status, failed.text, failed.headers.get('cache-control')],
    [412, '', 'no-store'],
  )
  const range = 'bytes=0-1'
  assert.equal(await status({ range, 'if-match': etag }), 206)
  assert.equal(await status({ range, 'if-range': etag }), 206)
  assert.equal(await status({ range, 'if-range': modified }), 206)
  for (const other of ['"x"', `W/${etag}`, before])
    assert.equal(await status({ range, 'if-range': other }), 200, other)
})

test('a type that a browser could run is a download; a type that it shows is in a sandbox', async (t) => {
  const { ask, user } = await web(t)
  const kinds = [
    ['a.html', '<!doctype html><script>1</script>', 'application/octet-stream', 'attachment'],
    [
      'a.svg',
      '<svg xmlns="http://www.w3.org/2000/svg"/>',
      'application/octet-stream',
      'attachment',
    ],
    ['a.txt', 'text', 'text/plain', 'attachment'],
    ['a.png', '\x89PNG\r\n\x1a\n', 'image/png', 'inline'],
    ['a.pdf', '%PDF-1.4', 'application/pdf', 'inline'],
  ] as const
  for (const [filename, content, contentType, disposition] of kinds) {
    await user.certificates.purge()
    await user.certificates.attach({ io: Buffer.from(content, 'latin1'), filename })
    const [file] = await user.certificates.attachments()
    for (const path of [
      file?.path({ proxy: true, disposition: 'inline' }),
      await file?.url({ disposition: 'inline' }),
    ]) {
      const { headers } = await ask(path ?? assert.fail())
      assert.equal(headers.get('content-type'), contentType, filename)
      assert.match(
        headers.get('content-disposition') ?? '',
        new RegExp(`^${disposition}; filename="${filename}"`),
        filename,
      )
      assert.equal(headers.get('x-content-type-options'), 'nosniff')
      assert.equal(
        /sandbox/.test(headers.get('content-security-policy') ?? ''),
        contentType !== 'application/pdf',
      )
    }
    const forced = await ask(
      file?.path({ proxy: true, disposition: 'attachment' }) ?? assert.fail(),
    )
    assert.match(forced.headers.get('content-disposition') ?? '', /^attachment/)
  }
})

test('an expiring id is cached no longer than it is valid, and ends', async (t) => {
  const { ask, file } = await rails(t)
  const hour = await ask(file.path({ proxy: true, expiresIn: '1h' }))
  assert.match(hour.headers.get('cache-control') ?? '', /^max-age=3(600|59\d), private$/)
  const over = file.path({ proxy: true, expiresIn: '1ms' })
  const redirected = await ask(file.path({ expiresIn: '1h' }))
  assert.equal(redirected.status, 302)
  while ((await ask(over)).status === 200);
  assert.deepEqual(
    [(await ask(over)).status, (await ask(over)).headers.get('cache-control')],
    [404, 'no-store'],
  )
})

test('an object with fewer bytes than its blob is a 404, also for a range after its end', async (t) => {
  const { ask, file, service } = await rails(t)
  await service.upload(file.blob.key, Readable.from([Buffer.from('hello')]), {
    byteSize: 5,
    checksum: createHash('md5').update('hello').digest('base64'),
  })
  for (const range of ['bytes=0-', 'bytes=3-7', 'bytes=5-', 'bytes=7-9']) {
    const answer = await ask(file.path({ proxy: true }), { headers: { range } })
    assert.deepEqual(
      [answer.status, answer.headers.get('cache-control'), answer.text],
      [404, 'no-store', ''],
      range,
    )
  }
})

test('a missing file is a 404 that no cache keeps, whatever its size, also for HEAD', async (t) => {
  const { ask, user, service } = await web(t)
  const gone = (answer: Answer): void =>
    assert.deepEqual(
      [answer.status, answer.headers.get('cache-control'), answer.text],
      [404, 'no-store', ''],
    )
  await user.certificates.attach([
    { io: Buffer.from('small'), filename: 'small' },
    { io: randomBytes(600_000), filename: 'large' },
  ])
  const files = await user.certificates.attachments()
  const paths = await Promise.all(
    files.map(async (file) => [file.path({ proxy: true }), await file.url()]),
  )
  for (const { blob } of files) await service.delete(blob.key)
  for (const path of paths.flat())
    for (const method of ['GET', 'HEAD']) gone(await ask(path, { method }))
  await user.certificates.purge()
  for (const path of [...paths.flat(), ...files.map((file) => file.path())]) gone(await ask(path))
})

test('an object that is too short breaks off, so that no client takes it for complete', async (t) => {
  const { storage, user, service } = await web(t)
  await user.certificates.attach([
    { io: randomBytes(600_000), filename: 'large' },
    { io: Buffer.from('small'), filename: 'small' },
  ])
  const [large, small] = await user.certificates.attachments()
  for (const file of [large, small]) {
    await service.delete(file?.blob.key ?? '')
    await service.upload(file?.blob.key ?? '', [Buffer.from('s')] as never, {
      byteSize: 1,
      checksum: createHash('md5').update('s').digest('base64'),
    })
  }
  const answer = await storage.handler(new Request(`http://x${large?.path({ proxy: true })}`))
  await assert.rejects(answer.arrayBuffer(), /1 of 600000 bytes/)
  assert.equal(
    (await storage.handler(new Request(`http://x${small?.path({ proxy: true })}`))).status,
    404,
  )
})

test('a token is valid only for its purpose', async (t) => {
  const { storage, ask, user } = await web(t)
  await user.photo.attach({ io: Buffer.from('x'), filename: 'x.txt' })
  const file = await user.photo.attachment()
  const staged = await storage.stage({ io: Buffer.from('y'), filename: 'y.txt' })
  const upload = await user.certificates.attachLater({ io: Buffer.from('z'), filename: 'z.txt' })
  const { url: put } = await storage.blobs.createBeforeDirectUpload({
    filename: 'a',
    byteSize: 1,
    checksum: 'XUFAKrxLKna5cZ2REBfFkg==',
  })
  const at = (path: string | undefined, index: number): string =>
    path?.split('/')[index] ?? assert.fail()
  const tokens = {
    blob: at(file?.path(), 5),
    disk: at(await file?.url(), 4),
    diskUpload: at(put, 4),
    pending: at(staged.path(), 4),
    staged: encodeURIComponent(staged.signedId),
    upload: at(upload?.path(), 4),
    slot: at(storage.stagedUploadPath('User.photo'), 4),
  }
  const routes: Readonly<
    Record<
      string,
      readonly [method: string, path: (token: string) => string, own: keyof typeof tokens]
    >
  > = {
    redirect: ['GET', (token) => `blobs/redirect/${token}/x`, 'blob'],
    legacy: ['GET', (token) => `blobs/${token}/x`, 'blob'],
    proxy: ['GET', (token) => `blobs/proxy/${token}/x`, 'blob'],
    disk: ['GET', (token) => `disk/${token}/x`, 'disk'],
    'disk upload': ['PUT', (token) => `disk/${token}`, 'diskUpload'],
    pending: ['GET', (token) => `pending/${token}/x`, 'pending'],
    upload: ['GET', (token) => `delayed_uploads/${token}`, 'upload'],
    'direct upload': ['POST', (token) => `direct_uploads/${token}`, 'slot'],
    'staged upload': ['POST', (token) => `staged_files/${token}`, 'slot'],
    discard: ['DELETE', (token) => `staged_files/${token}`, 'staged'],
  }
  for (const [route, [method, path, own]] of Object.entries(routes))
    for (const [kind, token] of Object.entries(tokens)) {
      const body = method === 'GET' || method === 'DELETE' ? null : '{}'
      const { status } = await ask(`${storage.basePath}/${path(token)}`, { method, body })
      if (kind === own) assert.notEqual(status, 404, `${route} with its own token`)
      else assert.equal(status, 404, `${route} with a token of ${kind}`)
      const changed = await ask(
        `${storage.basePath}/${path(token.replace(/.$/, (last) => (last === '0' ? '1' : '0')))}`,
        { method, body },
      )
      assert.equal(changed.status, 404, `${route} with a changed token`)
    }
})

test('ids of older secrets, of other digests and of both envelopes are read', async (t) => {
  const { storage, ask, user, database, service } = await web(t, { secretKeyBase: ['new', 'old'] })
  await user.photo.attach({ io: Buffer.from('x'), filename: 'x.txt' })
  for (const keyDigest of ['SHA1', 'SHA256'] as const)
    for (const envelope of ['marshal', 'json'] as const) {
      const other = storageOn(database, webModels, service, {
        secretKeyBase: 'old',
        rails: { keyDigest, envelope },
      })
      const file = await other.record('User', 1).photo.attachment()
      for (const path of [file?.path({ proxy: true }), await file?.url()])
        assert.equal((await ask(path ?? assert.fail())).text, 'x', `${keyDigest} ${envelope}`)
      const stranger = storageOn(database, webModels, service, {
        secretKeyBase: 'stolen',
        rails: { keyDigest, envelope },
      })
      assert.equal(
        (await ask((await stranger.record('User', 1).photo.attachment())?.path() ?? assert.fail()))
          .status,
        404,
      )
    }
  assert.equal((await ask((await user.photo.attachment())?.path() ?? assert.fail())).status, 302)
  await storage.close()
})

test("a public folder gives paths that do not expire; every path has the app's mount point", async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'serving-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  const database = sqlite(':memory:') as unknown as Database<never>
  const storage = storageOn(database, webModels, disk({ root, public: true }), {
    basePath: '/files',
  })
  t.after(() => storage.close())
  await storage.migrate()
  const { photo } = storage.record('User', 1)
  await photo.attach({ io: Buffer.from('x'), filename: 'x.txt' })
  const file = await photo.attachment()
  const url = await file?.url({ expiresIn: '1ms' })
  assert.match(url ?? '', /^\/files\/disk\//)
  assert.equal((await asking(storage)(url ?? assert.fail())).text, 'x')
  assert.match(file?.path() ?? '', /^\/files\/blobs\/redirect\//)
  assert.equal(
    (
      await asking(storage)(
        file?.path().replace('/files', '/rails/active_storage') ?? assert.fail(),
      )
    ).status,
    404,
  )
})

test('a preview that names itself as its original is served all the same', async (t) => {
  let asked = 0
  const { storage, database } = await testStorage(
    { User: { photo: hasOneAttached() } },
    { authorize: () => (asked += 1) > 0 },
  )
  t.after(() => storage.close())
  const photo = await storage.record('User', 1).photo.attach(text('x'))
  database.exec(
    "update active_storage_attachments set record_type = 'ActiveStorage::Blob', record_id = blob_id, name = 'preview_image'",
  )
  const response = await storage.handler(new Request(`http://app.test${photo?.path() ?? ''}`))
  assert.deepEqual([response.status, asked], [302, 1])
})
