import assert from 'node:assert/strict'
import { test } from 'node:test'
import createSharp from 'sharp'
import { createActiveStorage, hasOneAttached } from '../src/index.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { sharp } from '../src/representations/sharp.ts'
import { memory } from '../src/services/memory.ts'

const png = await createSharp({ create: { width: 120, height: 80, channels: 3, background: 'red' } }).png().toBuffer()

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
  const bomb = await createSharp({ create: { width: 2000, height: 2000, channels: 3, background: 'red' } }).png().toBuffer()
  const bad = ['hello', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', png.subarray(0, 150), bomb]
  for (const [index, bytes] of bad.entries()) await app.record('User', index).photo.attachLater({ io: Buffer.from(bytes), filename: 'a.png' })
  assert.deepEqual(await app.drain(), { uploaded: 0, retried: 0, failed: 4, remaining: 0 })
  for (const upload of await app.delayedUploads.list({ state: 'failed' })) assert.match(upload.lastError ?? '', /cannot be transformed/)
})
