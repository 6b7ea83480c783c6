// Rails' published client in a real browser uploads directly to a folder and to S3.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { CreateBucketCommand, PutBucketCorsCommand, S3Client } from '@aws-sdk/client-s3'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import createSharp from 'sharp'
import { sqlite } from '../src/database/sqlite.ts'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { disk } from '../src/services/disk.ts'
import { s3 } from '../src/services/s3.ts'
import { md5 } from './support/bytes.ts'
import { openBrowser } from './support/chromium.ts'
import { startS3 } from './support/s3-server.ts'

const script = await readFile(
  createRequire(import.meta.url).resolve(
    '@rails/activestorage/app/assets/javascripts/activestorage.js',
  ),
)
const bucketServer = await startS3()
after(() => bucketServer.stop())

/** A page with a form whose inputs Rails' client takes over, and what it submits in the end. */
async function app(t: TestContext, service: Service) {
  const storage = createActiveStorage({
    database: sqlite(':memory:'),
    services: { local: service },
    secretKeyBase: 'only for this test',
    models: {
      User: {
        photo: hasOneAttached({ accept: ['image/*'], maxSize: '5 MB' }),
        certificates: hasManyAttached(),
      },
    },
    authorize: (request, { action }) =>
      action === 'read' ||
      request.method !== 'POST' ||
      request.headers.get('x-csrf-token') === 'the page was made for you',
  })
  await storage.migrate()
  const page = `<!doctype html><meta name="csrf-token" content="the page was made for you"><script src="/activestorage.js"></script>
    <script>ActiveStorage.start(); window.seen = []
      for (const name of ['start', 'progress', 'error', 'end']) addEventListener('direct-upload:' + name, (event) => {
        seen.push(name); if (name === 'error') { event.preventDefault(); document.title = event.detail.error } })</script>
    <form method="post" action="/users" enctype="multipart/form-data">
      <input type="file" name="user[photo]" data-direct-upload-url="${storage.directUploadPath('User.photo')}">
      <input type="file" name="user[certificates][]" multiple data-direct-upload-url="${storage.basePath}/direct_uploads">
      <button>Save</button></form>`
  const web = new Hono()
  web.get('/', (c) => c.html(page))
  web.get('/activestorage.js', (c) =>
    c.body(new Uint8Array(script), 200, { 'Content-Type': 'text/javascript' }),
  )
  web.post('/users', async (c) => {
    const { files } = await storage.parseForm(c.req.raw, { model: 'User' })
    await storage.record('User', 1).attachLater(files)
    return c.text('saved')
  })
  web.all(`${storage.basePath}/*`, (c) => storage.handler(c.req.raw))
  const { server, url } = await new Promise<{ server: ReturnType<typeof serve>; url: string }>(
    (resolve) => {
      const started = serve({ fetch: web.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
        resolve({ server: started, url: `http://127.0.0.1:${port}` }),
      )
    },
  )
  t.after(async () => {
    await new Promise((resolve) => server.close(resolve))
    await storage.close()
  })
  return { storage, url }
}

async function folder(t: TestContext): Promise<Service> {
  const root = await mkdtemp(join(tmpdir(), 'rails-client-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  return disk({ root })
}

async function bucket(): Promise<Service> {
  const { endpoint, credentials } = bucketServer
  const client = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true })
  await client.send(new CreateBucketCommand({ Bucket: 'from-browsers' }))
  const rule = {
    AllowedMethods: ['PUT', 'GET'],
    AllowedOrigins: ['*'],
    AllowedHeaders: ['*'],
    MaxAgeSeconds: 60,
  }
  await client.send(
    new PutBucketCorsCommand({ Bucket: 'from-browsers', CORSConfiguration: { CORSRules: [rule] } }),
  )
  client.destroy()
  // The browser must send these as headers.
  const stored = { cacheControl: 'max-age=60', acl: 'private' } as const
  return s3({ bucket: 'from-browsers', endpoint, credentials, ...stored })
}

for (const [name, open, missing] of [
  ['a folder', folder, null],
  [
    'S3',
    bucket,
    bucketServer.lenient === null
      ? null
      : `${bucketServer.lenient}, nor answers a page of another origin`,
  ],
] as const)
  test(`files that the browser uploads to ${name} are attached by their signed ids, and served`, async (t) => {
    if (missing !== null) return t.skip(missing)
    const browser = await openBrowser(t)
    if (browser === null) return
    const { storage, url } = await app(t, await open(t))
    const page = await browser.newPage({ baseURL: url })
    await page.goto('/')
    const photo = await createSharp({
      create: { width: 40, height: 30, channels: 3, background: 'teal' },
    })
      .png()
      .toBuffer()
    const large = randomBytes(3_000_000)
    await page
      .locator('input')
      .first()
      .setInputFiles({ name: 'né "a".png', mimeType: 'image/png', buffer: photo })
    await page.locator('input[multiple]').setInputFiles([
      { name: 'a.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.4 a') },
      { name: 'large.bin', mimeType: 'application/octet-stream', buffer: large },
      {
        name: 'page.html',
        mimeType: 'text/html',
        buffer: Buffer.from('<!doctype html><script>alert(1)</script>'),
      },
    ])
    await page.getByRole('button', { name: 'Save' }).click()
    await page.waitForURL('/users')
    assert.equal(await page.textContent('body'), 'saved')
    const user = storage.record('User', 1)
    const attached = await user.photo.attachment()
    assert.deepEqual(
      [attached?.filename, attached?.contentType, attached?.checksum],
      ['né "a".png', 'image/png', md5(photo)],
    )
    const certificates = await user.certificates.attachments()
    assert.deepEqual(
      certificates.map(({ filename, checksum }) => [filename, checksum === md5(large)]),
      [
        ['a.pdf', false],
        ['large.bin', true],
        ['page.html', false],
      ],
    )
    assert.deepEqual(await certificates[1]?.download(), large)
    await page.setContent(
      `<img src="${url}${attached?.path()}"><img src="${url}${attached?.path({ proxy: true })}">`,
    )
    for (const image of await page.locator('img').all()) {
      await image.evaluate((element) => (element as HTMLImageElement).decode())
      assert.equal(
        await image.evaluate((element) => (element as HTMLImageElement).naturalWidth),
        40,
      )
    }
    // The file is sent as a download, never as a page of the app.
    for (const proxy of [true, false]) {
      const answer = await page.request.get(`${url}${certificates[2]?.path({ proxy })}`)
      assert.match(answer.headers()['content-disposition'] ?? '', /^attachment/)
      assert.notEqual(answer.headers()['content-type'], 'text/html')
    }
  })

test('an announcement beyond the limits of the attachment is refused before the upload', async (t) => {
  const browser = await openBrowser(t)
  if (browser === null) return
  const { storage, url } = await app(t, await folder(t))
  const page = await browser.newPage({ baseURL: url })
  await page.goto('/')
  const input = page.locator('input').first()
  await input.setInputFiles({
    name: 'no.txt',
    mimeType: 'text/plain',
    buffer: Buffer.from('no image'),
  })
  await page.getByRole('button', { name: 'Save' }).click()
  await page.waitForFunction(() => document.title !== '')
  assert.match(await page.title(), /no\.txt.*415/s)
  await page.evaluate(() =>
    document.querySelector('meta')?.setAttribute('content', 'of another site'),
  )
  await page.evaluate(() => (document.title = ''))
  await input.setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer: Buffer.from('a') })
  await page.getByRole('button', { name: 'Save' }).click()
  await page.waitForFunction(() => document.title !== '')
  assert.match(await page.title(), /403/)
  let blobs = 0
  for await (const _ of storage.blobs.unattached()) blobs += 1
  assert.equal(blobs, 0)
})
