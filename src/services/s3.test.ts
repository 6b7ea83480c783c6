import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, test, type TestContext } from 'node:test'
import {
  CreateBucketCommand,
  GetObjectAclCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import { sqlite } from '../database/sqlite.ts'
import { createActiveStorage, hasOneAttached } from '../index.ts'
import type { Service } from '../adapters.ts'
import { code, md5, pieces } from '../../test/support/bytes.ts'
import { startS3 } from '../../test/support/s3-server.ts'
import { createClock } from '../testing/clock.ts'
import { serviceContract } from '../testing/contracts/service.ts'
import { s3, type S3Options } from './s3.ts'

const server = await startS3()
after(() => server.stop())

// Skips tests that need a server which checks signatures and digests.
const strict = server.lenient === null ? {} : { skip: server.lenient }

const client = new S3Client({
  endpoint: server.endpoint,
  credentials: server.credentials,
  region: 'us-east-1',
  forcePathStyle: true,
})
after(() => client.destroy())
let count = 0
const bucketed = async (options: Partial<S3Options> = {}) => {
  const Bucket = `tests-${(count += 1)}`
  await client.send(new CreateBucketCommand({ Bucket }))
  return {
    Bucket,
    service: s3({
      bucket: Bucket,
      endpoint: server.endpoint,
      credentials: server.credentials,
      ...options,
    }),
  }
}

// A server that checks nothing accepts every PUT.
const request = server.lenient === null ? fetch : null
describe('s3', () =>
  serviceContract({ test, fetch: request, create: async () => (await bucketed()).service }))
describe('s3 in parts', () =>
  serviceContract({
    test,
    fetch: request,
    create: async () =>
      (await bucketed({ multipartThreshold: 1, partSize: '5 MB', prefix: 'a/prefix' })).service,
  }))

test('large objects go in parts, and a transfer that fails leaves neither object nor parts', async () => {
  const { Bucket, service } = await bucketed({ multipartThreshold: '6 MB', partSize: '5 MB' })
  const data = randomBytes(17 * 1024 ** 2)
  await service.upload('large', pieces(data), {
    byteSize: data.length,
    checksum: md5(data),
    contentType: 'image/png',
    disposition: 'inline',
  })
  const head = await client.send(new HeadObjectCommand({ Bucket, Key: 'large' }))
  assert.match(head.ETag ?? '', /-4"$/)
  assert.equal(head.ContentType, 'image/png')
  assert.equal(head.ContentDisposition, 'inline')
  const received = createHash('md5')
  for await (const chunk of await service.download('large')) received.update(chunk)
  assert.equal(received.digest('base64'), md5(data))
  await assert.rejects(
    service.upload('wrong', pieces(data), {
      byteSize: data.length,
      checksum: md5(Buffer.from('x')),
    }),
    code('INTEGRITY'),
  )
  const breaking = async function* (): AsyncGenerator<Uint8Array> {
    yield data
    throw new Error('broken off')
  }
  await assert.rejects(
    service.upload('broken', breaking(), { byteSize: data.length + 1, checksum: md5(data) }),
    /broken off/,
  )
  assert.deepEqual(
    (await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? [],
    [],
  )
  assert.deepEqual(
    (await client.send(new ListObjectsV2Command({ Bucket }))).Contents?.map((object) => object.Key),
    ['large'],
  )
})

test('an expiring URL cannot be changed, and a public URL has no signature', strict, async () => {
  const options = { expiresIn: 60, disposition: 'attachment', contentType: 'text/plain' }
  const { service } = await bucketed()
  const data = Buffer.from('hello')
  await service.upload('key', pieces(data), { byteSize: 5, checksum: md5(data) })
  const url = (await service.url('key', options)) ?? ''
  assert.equal((await fetch(url)).status, 200)
  assert.equal((await fetch(url.replace('attachment', 'inline'))).status, 403)
  const open = await bucketed({ public: true })
  assert.doesNotMatch((await open.service.url('key', options)) ?? '', /\?/)
})

test('a browser must send the headers of the bucket with a direct upload', async () => {
  const { Bucket, service } = await bucketed({
    cacheControl: 'max-age=60',
    storageClass: 'STANDARD',
    acl: 'public-read',
  })
  const data = Buffer.from('hello')
  const direct = await service.urlForDirectUpload('key', {
    expiresIn: 60,
    byteSize: 5,
    checksum: md5(data),
    contentType: 'image/png',
  })
  assert.ok(direct !== null)
  const bucketHeaders = {
    'Cache-Control': 'max-age=60',
    'x-amz-acl': 'public-read',
    'x-amz-storage-class': 'STANDARD',
  }
  assert.deepEqual(
    { ...direct.headers },
    {
      'Content-Type': 'image/png',
      'Content-MD5': md5(data),
      ...bucketHeaders,
    },
  )
  const put = async (headers: Readonly<Record<string, string>>, body = 'hello') =>
    (await fetch(direct.url, { method: 'PUT', headers, body })).status
  if (server.lenient === null) {
    const other = md5(Buffer.from('other'))
    assert.equal(await put({ ...direct.headers, 'Content-MD5': other }, 'other'), 403)
    for (const name of Object.keys(bucketHeaders)) {
      const { [name]: _, ...others } = direct.headers
      assert.equal(await put(others), 403, `without ${name}`)
      assert.equal(await put({ ...direct.headers, [name]: 'private' }), 403, `another ${name}`)
    }
    assert.equal(await service.exists('key'), false)
  }
  assert.equal(await put(direct.headers), 200)
  const head = await client.send(new HeadObjectCommand({ Bucket, Key: 'key' }))
  assert.equal(head.CacheControl, 'max-age=60')
  if (server.lenient !== null) return
  const { Grants = [] } = await client.send(new GetObjectAclCommand({ Bucket, Key: 'key' }))
  assert.ok(Grants.some(({ Grantee }) => Grantee?.URI?.endsWith('/AllUsers') === true))
})

test('an object that a browser uploads after its blob was purged is deleted a day after its URL expired', async (t) => {
  const { service } = await bucketed()
  const handle = new DatabaseSync(':memory:')
  const clock = createClock(handle)
  const storage = createActiveStorage({
    database: sqlite(handle),
    services: { s3: service },
    models: { User: { photo: hasOneAttached() } },
    secretKeyBase: 'a secret of the tests',
  })
  t.after(() => storage.close())
  await storage.migrate()
  const file = {
    filename: 'a.txt',
    byteSize: 5,
    checksum: md5(Buffer.from('hello')),
    contentType: 'text/plain',
  }
  const { blob, url, headers } = await storage.blobs.createBeforeDirectUpload(file)
  await blob.purge()
  await storage.drain()
  assert.equal((await fetch(url, { method: 'PUT', headers, body: 'hello' })).status, 200)
  clock.advance('24h')
  await storage.drain()
  assert.equal(await service.exists(blob.key), true)
  clock.advance('6m')
  await storage.drain()
  assert.equal(await service.exists(blob.key), false)
})

test('errors name the bucket, the failure and what to do', async () => {
  const options = { endpoint: server.endpoint, credentials: server.credentials }
  const put = (service: ReturnType<typeof s3>) =>
    service.upload('key', pieces(Buffer.from('x')), {
      byteSize: 1,
      checksum: md5(Buffer.from('x')),
    })
  await assert.rejects(
    put(s3({ bucket: 'missing', ...options })),
    /The bucket missing failed for key.*Create the bucket/,
  )
  const stranger = s3({
    bucket: 'tests-1',
    ...options,
    credentials: { ...server.credentials, secretAccessKey: 'wrong' },
  })
  if (server.lenient === null) await assert.rejects(put(stranger), /Check the credentials/)
  await assert.rejects(
    put(s3({ bucket: 'tests-1', ...options, endpoint: 'http://127.0.0.1:1' })),
    code('SERVICE_UNAVAILABLE'),
  )
})

/** A storage of photos on the service; closed with the test. */
async function storageOn(t: TestContext, service: Service) {
  const storage = createActiveStorage({
    database: sqlite(':memory:'),
    services: { s3: service },
    models: { User: { photo: hasOneAttached() } },
    secretKeyBase: 'a secret of the tests',
  })
  t.after(() => storage.close())
  await storage.migrate()
  return storage
}

test(
  'an attachment has a URL of its service with its name; markup is never shown in the page',
  strict,
  async (t) => {
    const { service } = await bucketed()
    const storage = await storageOn(t, service)
    const { photo } = storage.record('User', 1)
    const urlOf = async (file: File) => (await photo.attach(file))?.url({ expiresIn: '1m' }) ?? ''
    const text = await fetch(await urlOf(new File(['hello'], 'naïve.txt')))
    assert.equal(await text.text(), 'hello')
    assert.equal(
      text.headers.get('content-disposition'),
      `attachment; filename="naive.txt"; filename*=UTF-8''na%C3%AFve.txt`,
    )
    const markup = await fetch(
      await urlOf(new File(['<svg xmlns="http://www.w3.org/2000/svg"/>'], 'a.png')),
    )
    assert.equal(markup.headers.get('content-type'), 'application/octet-stream')
    assert.match(markup.headers.get('content-disposition') ?? '', /^attachment;/)
  },
)

test('a public bucket serves a type that a browser would run as a download, from any uploader', async (t) => {
  const { service, Bucket } = await bucketed({ public: true })
  const storage = await storageOn(t, service)
  const { photo } = storage.record('User', 1)
  const stored = async () => {
    const { ContentType, ContentDisposition } = await client.send(
      new HeadObjectCommand({ Bucket, Key: (await photo.attachment())?.blob.key }),
    )
    return [ContentType, ContentDisposition]
  }
  const cases = [
    [
      '<svg xmlns="http://www.w3.org/2000/svg"/>',
      'a.svg',
      'application/octet-stream',
      `attachment; filename="a.svg"; filename*=UTF-8''a.svg`,
    ],
    [
      '<html><script>1</script>',
      'ф.png',
      'application/octet-stream',
      `attachment; filename="%3F.png"; filename*=UTF-8''%D1%84.png`,
    ],
    ['hello', 'a.txt', 'text/plain', `attachment; filename="a.txt"; filename*=UTF-8''a.txt`],
    ['GIF89a', 'a.gif', 'image/gif', undefined],
  ] as const
  for (const [bytes, name, ...expected] of cases) {
    await photo.attach(new File([bytes], name))
    assert.deepEqual(await stored(), expected, `${name}, attached`)
    await photo.attachLater(new File([bytes], name))
    await storage.drain({ throwOnError: true })
    assert.deepEqual(await stored(), expected, `${name}, delayed`)
  }
})
