import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import createSharp from 'sharp'
import { createActiveStorage, hasOneAttached, type Transformation } from '../src/index.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { sharp } from '../src/representations/sharp.ts'
import { memory } from '../src/services/memory.ts'

const png = await createSharp({ create: { width: 120, height: 80, channels: 3, background: 'red' } })
  .png()
  .toBuffer()

function storage() {
  return createActiveStorage({
    database: sqlite(':memory:'),
    services: { test: memory() },
    secretKeyBase: 'a secret of the tests',
    images: sharp({ limitInputPixels: 1_000_000 }),
    logger: false,
    models: { User: { photo: hasOneAttached({ variantInfo: { resizeToFit: [40, 40], convert: 'jpg' } }) } },
  })
}

test('the image is resized and converted before the upload; name and type follow the bytes', async (t) => {
  const app = storage()
  t.after(() => app.close())
  await app.migrate()
  const { photo } = app.record('User', 1)
  await photo.attachLater({ io: png, filename: 'img.png' })
  await app.drain({ throwOnError: true })
  const attached = await photo.attachment()
  assert.equal(attached?.filename, 'img.jpg')
  assert.equal(attached.contentType, 'image/jpeg')
  const { width, height, format } = await createSharp(await attached.download()).metadata()
  assert.deepEqual({ width, height, format }, { width: 40, height: 27, format: 'jpeg' })
})

test('what is no image, is markup, is cut off or is too large fails for good, at once', async (t) => {
  const app = storage()
  t.after(() => app.close())
  await app.migrate()
  const bomb = await createSharp({ create: { width: 2000, height: 2000, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  const bad = ['hello', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', png.subarray(0, 150), bomb]
  for (const [index, bytes] of bad.entries())
    await app.record('User', index).photo.attachLater({ io: Buffer.from(bytes), filename: 'a.png' })
  assert.deepEqual(await app.drain(), { uploaded: 0, retried: 0, failed: 4, remaining: 0 })
  for (const upload of await app.delayedUploads.list({ state: 'failed' })) assert.match(upload.lastError ?? '', /cannot be transformed/)
})

test('each resize gives the box it promises; a photo taken sideways stands upright; transparency and animation stay', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'variants-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  let count = 0
  const made = async (bytes: Buffer, transformation: Transformation) => {
    // libvips remembers files by their names.
    const input = join(folder, String((count += 1)))
    await writeFile(input, bytes)
    const { contentType, extension } = await sharp().transform(input, `${input}-out`, transformation)
    const { width, pageHeight, height = pageHeight, pages = 1, hasAlpha } = await createSharp(`${input}-out`, { animated: true }).metadata()
    return { size: `${width}x${height}`, contentType, extension, pages, hasAlpha }
  }
  const sizes: [Transformation, string][] = [
    [{ resizeToLimit: [60, 60] }, '60x40'],
    [{ resizeToLimit: [600, 600] }, '120x80'],
    [{ resizeToLimit: [60, null] }, '60x40'],
    [{ resizeToFit: [240, 240] }, '240x160'],
    [{ resizeToFit: [null, 40] }, '60x40'],
    [{ resizeToFill: [50, 50] }, '50x50'],
    [{ resizeAndPad: [50, 50] }, '50x50'],
    [{ resizeToCover: [60, 60] }, '90x60'],
    [{ quality: 50 }, '120x80'],
  ]
  for (const [transformation, size] of sizes) assert.equal((await made(png, transformation)).size, size, JSON.stringify(transformation))
  const sideways = await createSharp(png).jpeg().withMetadata({ orientation: 6 }).toBuffer()
  assert.deepEqual(await made(sideways, {}), { size: '80x120', contentType: 'image/jpeg', extension: 'jpg', pages: 1, hasAlpha: false })
  const clear = await createSharp({ create: { width: 10, height: 10, channels: 4, background: '#f008' } })
    .png()
    .toBuffer()
  assert.equal((await made(clear, { convert: 'webp' })).hasAlpha, true)
  const frames = createSharp([png, await createSharp(png).negate().toBuffer()], { join: { animated: true } })
  assert.equal((await made(await frames.gif().toBuffer(), { resizeToFit: [40, 40], convert: 'webp' })).pages, 2)
  assert.equal((await made(png, { convert: 'avif' })).contentType, 'image/avif')
})
