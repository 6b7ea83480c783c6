// The browser module in a real browser, against a real storage.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { test, type TestContext } from 'node:test'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import type { Page } from 'playwright-core'
import createSharp from 'sharp'
import { createMd5 } from '../src/client/md5.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { openBrowser } from './support/chromium.ts'
import { storageOn, switchable } from './support/storage.ts'
import { webModels } from './support/web.ts'

declare global {
  interface Window {
    client: typeof import('../src/client/index.ts')
    seen: unknown[]
  }
}

test('MD5 is correct, however the bytes are split', () => {
  for (const size of [
    ...Array.from({ length: 200 }, (_, index) => index),
    1000,
    65_536,
    1_000_003,
  ]) {
    const bytes = randomBytes(size)
    const hash = createMd5()
    for (let at = 0; at < size; at += 77) hash.update(bytes.subarray(at, at + 77))
    const whole = createMd5()
    whole.update(bytes)
    const expected = createHash('md5').update(bytes).digest('base64')
    assert.deepEqual([hash.digest(), whole.digest()], [expected, expected], String(size))
  }
})

async function open(t: TestContext) {
  const browser = await openBrowser(t)
  if (browser === null) return null
  const service = switchable()
  const storage = storageOn(sqlite(':memory:'), webModels, service)
  await storage.migrate()
  /** While true, streams of events are cut after their first one. */
  const weather = { cutting: false, status: 0, asked: 0 }
  const app = new Hono()
  app.get('/client/:name', async (c) => {
    const source = await readFile(
      new URL(`../src/client/${c.req.param('name')}`, import.meta.url),
      'utf8',
    )
    return c.body(stripTypeScriptTypes(source), 200, { 'content-type': 'text/javascript' })
  })
  app.all(`${storage.basePath}/*`, async (c) => {
    const isEvents = c.req.header('accept')?.includes('text/event-stream') === true
    if (isEvents) weather.asked += 1
    if (isEvents && weather.status !== 0) return c.body(null, weather.status as 500)
    const answer = await storage.handler(c.req.raw)
    if (!isEvents || !weather.cutting || answer.body === null) return answer
    const reader = answer.body.getReader()
    const { value } = await reader.read()
    await reader.cancel()
    // At once again, not after the browser's three seconds.
    return new Response(`retry: 10\n${Buffer.from(value ?? []).toString()}`, answer)
  })
  app.post('/users', async (c) => {
    const { values, files } = await storage.parseForm(c.req.raw, { model: 'User' })
    await storage.record('User', 1).attachLater(files)
    return c.text(`saved ${String(values['name'])}`)
  })
  app.get('/', (c) =>
    c.html(`<!doctype html><title>t</title><form method="post" action="/users" enctype="multipart/form-data">
      <label>Name <input name="user[name]"></label>
      <label>Photo <input type="file" name="user[photo]" data-staged-upload-url="${storage.stagedUploadPath('User.photo')}"></label>
      <label>Certificates <input type="file" name="user[certificates][]" multiple data-staged-upload-url="${storage.stagedUploadPath('User.certificates')}"></label>
      <button>Save</button></form><div id="here"></div><div id="there"></div>
      <script type="module">window.seen = []; window.client = await import('/client/index.ts'); document.body.dataset.ready = ''</script>`),
  )
  const { server, url } = await new Promise<{ server: ReturnType<typeof serve>; url: string }>(
    (resolve) => {
      const started = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
        resolve({ server: started, url: `http://127.0.0.1:${port}` }),
      )
    },
  )
  const page = await browser.newPage({ baseURL: url })
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(String(error)))
  t.after(async () => {
    await browser.close()
    await new Promise((resolve) => server.close(resolve))
    await storage.close()
    assert.deepEqual(errors, [])
  })
  await page.goto('/')
  await page.locator('body[data-ready]').waitFor()
  return { page, storage, service, weather, user: storage.record('User', 1) }
}

/** Waits until what the page noted satisfies. */
const noted = (page: Page, text: string): Promise<unknown> =>
  page.waitForFunction((wanted) => JSON.stringify(window.seen).includes(wanted), text)

test('a script stages a file or uploads it directly, follows its progress, and gets its errors', async (t) => {
  const app = await open(t)
  if (app === null) return
  const { page, storage, user } = app
  const sent = await page.evaluate(
    async ([stage, direct]) => {
      const { stageFile, directUpload, UploadError } = window.client
      const bytes = new Uint8Array(3_000_000).map((_, index) => index % 251)
      const file = new File([bytes], 'né "large".bin')
      const seen: number[] = []
      const code = async (run: Promise<unknown>): Promise<unknown> =>
        run.then(
          () => 'no error',
          (error: unknown) =>
            error instanceof UploadError
              ? [error.code, error.status, error.message]
              : String(error),
        )
      const staged = await stageFile(file, stage ?? '', {
        onProgress: (done, total) => seen.push(done / total),
      })
      const uploaded = await directUpload(file, direct ?? '', {
        onProgress: (done, total) => seen.push(done / total),
      })
      const abort = new AbortController()
      const aborted = code(
        stageFile(file, stage ?? '', { signal: abort.signal, onProgress: () => abort.abort() }),
      )
      return {
        staged,
        uploaded,
        seen,
        aborted: await aborted,
        before: await code(directUpload(file, direct ?? '', { signal: AbortSignal.abort() })),
        gone: await code(stageFile(file, `${stage}x`)),
        unreachable: await code(stageFile(file, 'http://127.0.0.1:9/')),
      }
    },
    [storage.stagedUploadPath('User.certificates'), storage.directUploadPath('User.certificates')],
  )
  assert.equal(sent.seen.filter((share) => share === 1).length, 2)
  assert.deepEqual(
    [sent.staged.filename, sent.staged.byteSize, sent.staged.checksum === sent.uploaded.checksum],
    ['né "large".bin', 3_000_000, true],
  )
  assert.equal((sent.aborted as string[])[0], 'ABORTED')
  assert.equal((sent.before as string[])[0], 'ABORTED')
  assert.deepEqual((sent.gone as unknown[]).slice(0, 2), ['HTTP', 404])
  assert.equal((sent.unreachable as string[])[0], 'NETWORK')
  await user.certificates.attach([sent.uploaded.signedId])
  await user.certificates.attachLater(sent.staged.signedId)
  await storage.drain()
  const [first, second] = await user.certificates.attachments()
  assert.deepEqual(
    [first?.checksum, second?.checksum],
    [sent.uploaded.checksum, sent.uploaded.checksum],
  )
  const refused = await page.evaluate(async (path) => {
    const run = window.client.stageFile(new File(['x'.repeat(1_100_000)], 'large.txt'), path)
    return run.then(
      () => 'no error',
      (error: unknown) => (error as { code: string }).code + (error as Error).message,
    )
  }, storage.stagedUploadPath('User.photo'))
  assert.equal(refused, 'FILE_TOO_LARGElarge.txt is larger than 1 MB. Choose a smaller one.')
  assert.equal(
    (sent.gone as string[])[2],
    'né "large".bin: this page is too old. Reload it and choose the file again.',
  )
})

test('inputs send files at once; the form waits, and contains neither bytes nor removed files', async (t) => {
  const app = await open(t)
  if (app === null) return
  const { page, storage, user } = app
  const photo = page.locator('input[name="user[photo]"][type=file]')
  const certificates = page.locator('input[name="user[certificates][]"][type=file]')
  const image = await createSharp({
    create: { width: 8, height: 8, channels: 3, background: 'teal' },
  })
    .png()
    .toBuffer()
  // Chosen before the script is there.
  await photo.setInputFiles({ name: 'first.png', mimeType: 'image/png', buffer: image })
  await page.evaluate(() => {
    window.client.stageInputs()
    window.client.stageInputs()
    for (const name of ['progress', 'done', 'error'])
      addEventListener(`staged-upload:${name}`, () => window.seen.push(name))
  })
  await page.locator('input[type=hidden][name="user[photo]"]').waitFor({ state: 'attached' })
  // A has-one: a new choice takes the place of the old one, which is given up.
  await photo.setInputFiles({ name: 'second.png', mimeType: 'image/png', buffer: image })
  await page.getByText('second.png').waitFor()
  assert.equal(await page.getByText('first.png').count(), 0)
  await certificates.setInputFiles([
    { name: '<img src=x onerror=alert(1)>.txt', mimeType: 'text/plain', buffer: Buffer.from('a') },
    { name: 'unwanted.txt', mimeType: 'text/plain', buffer: Buffer.from('b') },
  ])
  await page.locator('input[type=hidden]').nth(2).waitFor({ state: 'attached' })
  await page.getByRole('button', { name: 'Remove unwanted.txt' }).click()
  await certificates.setInputFiles([
    { name: 'late.txt', mimeType: 'text/plain', buffer: Buffer.alloc(2_000_000, 'c') },
  ])
  await page.getByLabel('Name').fill('Ada')
  const [posted] = await Promise.all([
    page.waitForRequest('**/users'),
    page.getByRole('button', { name: 'Save' }).click(),
  ])
  await page.waitForURL('**/users')
  assert.equal(await page.textContent('body'), 'saved Ada')
  assert.ok((posted.postDataBuffer()?.length ?? 0) < 10_000, 'the bytes travelled twice')
  await storage.drain()
  assert.equal((await user.photo.attachment())?.filename, 'second.png')
  assert.deepEqual(
    (await user.certificates.attachments()).map(({ filename }) => filename),
    ['<img src=x onerror=alert(1)>.txt', 'late.txt'],
  )
  await storage.sweep()
  assert.equal((await storage.delayedUploads.stats()).stagedBytes, 0)
})

test('without scripts the same form sends the files in its body', async (t) => {
  const app = await open(t)
  if (app === null) return
  const { page, storage, user } = app
  await page
    .locator('input[name="user[photo]"]')
    .setInputFiles({ name: 'plain.txt', mimeType: 'text/plain', buffer: Buffer.from('x') })
  await page.getByRole('button', { name: 'Save' }).click()
  await page.waitForURL('**/users')
  await storage.drain()
  assert.equal((await user.photo.attachment())?.filename, 'plain.txt')
})

test('the element shows an upload from start to end, with failure, retry and lost connections', async (t) => {
  const app = await open(t)
  if (app === null) return
  const { page, storage, service, weather, user } = app
  const evil = '<b onclick=alert(1)>né</b>.txt'
  const upload =
    (await user.certificates.attachLater([new File(['x'], evil), new File(['y'], 'second.txt')])) ??
    assert.fail()
  weather.cutting = true
  await page.evaluate((src) => {
    window.client.defineDelayedUpload()
    window.client.defineDelayedUpload()
    addEventListener('delayed-upload:change', (event) =>
      window.seen.push((event as CustomEvent<{ state: string }>).detail.state),
    )
    const element = document.createElement('delayed-upload')
    element.setAttribute('src', src)
    element.textContent = 'as long as nothing is known'
    document.querySelector('#here')?.append(element)
  }, upload.path())
  const element = page.locator('delayed-upload')
  await page.locator('delayed-upload[state=pending]').waitFor()
  assert.equal(await element.getByRole('listitem').count(), 2)
  await element.getByRole('listitem').first().getByText(evil, { exact: true }).waitFor()
  assert.equal(await element.locator('b').count(), 0)
  service.failures = 2
  service.final = true
  await storage.drain()
  await page.locator('delayed-upload[state=failed]').waitFor()
  await element
    .getByText('could not be stored. It is kept: those who run this site can try it again.')
    .first()
    .waitFor()
  const gate = Promise.withResolvers<void>()
  service.gate = gate.promise
  await (await storage.delayedUploads.find(upload.id))?.retry()
  const draining = storage.drain()
  await page.locator('delayed-upload[state=running]').waitFor()
  await element.getByRole('progressbar', { name: `Progress of ${evil}` }).waitFor()
  weather.cutting = false
  // Moved within the page it follows on; its texts can be the app's own.
  await page.evaluate(() => {
    const moved = document.querySelector('delayed-upload') as HTMLElement & { labels: object }
    document.querySelector('#there')?.append(moved)
    moved.labels = { attached: 'Gespeichert' }
  })
  gate.resolve()
  await draining
  await page.locator('#there delayed-upload[state=attached]').waitFor()
  await element.getByRole('status').getByText(`${evil}, second.txt: Gespeichert`).waitFor()
  await noted(page, '"attached"')
  // It was the end: nobody asks any more.
  const before = weather.asked
  await page.evaluate(() =>
    document.querySelector('#here')?.append(document.querySelector('delayed-upload') as Node),
  )
  await page.waitForFunction(
    () =>
      (document.querySelector('delayed-upload') as unknown as { upload: { state: string } }).upload
        .state === 'attached',
  )
  assert.ok(weather.asked - before <= 1)
})

test('a script that follows an upload survives server errors, and learns that an upload is gone', async (t) => {
  const app = await open(t)
  if (app === null) return
  const { page, storage, weather, user } = app
  const upload = (await user.photo.attachLater(new File(['x'], 'x.txt'))) ?? assert.fail()
  weather.status = 503
  await page.clock.install()
  await page.evaluate((path) => {
    window.client.followUpload(path, ({ state }) => window.seen.push(state))
  }, upload.path())
  while (weather.asked === 0) await new Promise((resolve) => setImmediate(resolve))
  weather.status = 0
  // The wait between its attempts, by the page's clock.
  const heard = noted(page, 'pending')
  let isHeard = false
  void heard.then(() => (isHeard = true))
  while (!isHeard) await page.clock.runFor(1000)
  await storage.drain()
  await noted(page, 'attached')
  await page.evaluate(
    (path) =>
      void window.client.followUpload(path, () => undefined, {
        onGone: () => window.seen.push('gone'),
      }),
    `${storage.basePath}/delayed_uploads/forged`,
  )
  await noted(page, 'gone')
})
