import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import createSharp from 'sharp'
import {
  ConfigurationError,
  createActiveStorage,
  hasOneAttached,
  type Transformation,
} from '../src/index.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { sharp } from '../src/images/sharp.ts'
import { memory } from '../src/services/memory.ts'
import { useTemporaryFolder } from './support/temporary-folder.ts'
import { tinyDisk } from './support/tiny-disk.ts'
import { copyFile } from 'node:fs/promises'
import { after } from 'node:test'
import { testStorage } from '../src/testing/index.ts'
import { closeServers } from './support/races.ts'
import { text } from './support/storage.ts'

const png = await createSharp({
  create: { width: 120, height: 80, channels: 3, background: 'red' },
})
  .png()
  .toBuffer()

function storage(variantInfo: Transformation = { resizeToFit: [40, 40], convert: 'jpg' }) {
  return createActiveStorage({
    database: sqlite(':memory:'),
    services: { test: memory() },
    secretKeyBase: 'a secret of the tests',
    images: sharp({ limitInputPixels: 1_000_000 }),
    logger: false,
    models: { User: { photo: hasOneAttached({ variantInfo }) } },
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

test('files that are no image, are markup, truncated or too large fail at once for good', async (t) => {
  const app = storage()
  t.after(() => app.close())
  await app.migrate()
  const bomb = await createSharp({
    create: { width: 2000, height: 2000, channels: 3, background: 'red' },
  })
    .png()
    .toBuffer()
  const bad = [
    'hello',
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    png.subarray(0, 150),
    bomb,
  ]
  for (const [index, bytes] of bad.entries())
    await app.record('User', index).photo.attachLater({ io: Buffer.from(bytes), filename: 'a.png' })
  assert.deepEqual(await app.drain(), { uploaded: 0, retried: 0, failed: 4, remaining: 0 })
  for (const upload of await app.delayedUploads.list({ state: 'failed' }))
    assert.match(upload.lastError ?? '', /cannot be transformed/)
})

test('each resize gives the box it promises, upright, with transparency and animation', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'variants-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  let count = 0
  const made = async (bytes: Buffer, transformation: Transformation) => {
    // libvips remembers files by their names.
    const input = join(folder, String((count += 1)))
    await writeFile(input, bytes)
    const { contentType, extension } = await sharp().transform(
      input,
      `${input}-out`,
      transformation,
    )
    const {
      width,
      pageHeight,
      height = pageHeight,
      pages = 1,
      hasAlpha,
    } = await createSharp(`${input}-out`, { animated: true }).metadata()
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
  for (const [transformation, size] of sizes)
    assert.equal((await made(png, transformation)).size, size, JSON.stringify(transformation))
  const sideways = await createSharp(png).jpeg().withMetadata({ orientation: 6 }).toBuffer()
  assert.deepEqual(await made(sideways, {}), {
    size: '80x120',
    contentType: 'image/jpeg',
    extension: 'jpg',
    pages: 1,
    hasAlpha: false,
  })
  const clear = await createSharp({
    create: { width: 10, height: 10, channels: 4, background: '#f008' },
  })
    .png()
    .toBuffer()
  assert.equal((await made(clear, { convert: 'webp' })).hasAlpha, true)
  const frames = createSharp([png, await createSharp(png).negate().toBuffer()], {
    join: { animated: true },
  })
  assert.equal(
    (await made(await frames.gif().toBuffer(), { resizeToFit: [40, 40], convert: 'webp' })).pages,
    2,
  )
  assert.equal((await made(png, { convert: 'avif' })).contentType, 'image/avif')
})

/** Transforms bytes; what became of them, or the error. */
async function transformer(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'variants-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  let count = 0
  return async (
    bytes: Buffer,
    transformation: Transformation,
    options: Parameters<typeof sharp>[0] = {},
  ) => {
    const input = join(folder, String((count += 1)))
    await writeFile(input, bytes)
    const { contentType } = await sharp(options).transform(input, `${input}-out`, transformation, {
      details: { filename: 'a.jpg' },
    })
    const output = createSharp(`${input}-out`)
    const pixel = [...(await output.clone().ensureAlpha().raw().toBuffer())].slice(0, 4)
    return { contentType, pixel, ...(await output.metadata()) }
  }
}

const noise = createSharp({
  create: {
    width: 120,
    height: 90,
    channels: 3,
    background: 'red',
    noise: { type: 'gaussian', mean: 128, sigma: 30 },
  },
})
const near = (actual: readonly number[], expected: readonly number[], by: number = 4): void =>
  assert.ok(
    expected.every((each, index) => Math.abs(each - (actual[index] ?? NaN)) <= by),
    `${actual.join()} is not near ${expected.join()}`,
  )

test('a photo that only breaks a rule of its format is resized; a truncated one is refused', async (t) => {
  const transform = await transformer(t)
  const jpeg = await noise.clone().jpeg().toBuffer()
  // Phones write 0 where the end of the spectrum, 63, belongs.
  const phone = Buffer.from(jpeg)
  const scan = phone.indexOf(Buffer.from([0xff, 0xda]))
  phone[scan + 6 + 2 * (phone[scan + 4] ?? 0)] = 0
  assert.notDeepEqual(phone, jpeg)
  const stuffed = Buffer.concat([jpeg.subarray(0, -2), Buffer.from('more'), jpeg.subarray(-2)])
  for (const bytes of [phone, stuffed, Buffer.concat([jpeg, Buffer.alloc(99)])])
    assert.deepEqual((await transform(bytes, { resizeToFit: [80, 80] })).width, 80)
  const whole = [jpeg, phone, await noise.clone().jpeg({ progressive: true }).toBuffer()]
  for (const format of ['png', 'webp', 'gif', 'avif', 'tiff'] as const)
    whole.push(await noise.clone().toFormat(format).toBuffer())
  for (const bytes of whole)
    for (const part of [0.3, 0.7, 0.99])
      await assert.rejects(
        transform(bytes.subarray(0, bytes.length * part), { resizeToFit: [80, 80] }),
        {
          code: 'INVARIABLE',
          message: /^a\.jpg cannot be transformed/,
          publicMessage: /^a\.jpg cannot be read as an image/,
        },
      )
})

test('without convert an image keeps its format: an AVIF too', async (t) => {
  const transform = await transformer(t)
  for (const format of ['jpeg', 'png', 'webp', 'gif', 'avif'] as const)
    assert.equal(
      (await transform(await noise.clone().toFormat(format).toBuffer(), { resizeToFit: [80, 80] }))
        .contentType,
      `image/${format}`,
    )
})

test('transparency becomes white in a JPEG, or the background that was asked for', async (t) => {
  const transform = await transformer(t)
  const clear = await createSharp({
    create: { width: 40, height: 20, channels: 4, background: '#f000' },
  })
    .png()
    .toBuffer()
  near((await transform(clear, { convert: 'jpg' })).pixel, [255, 255, 255, 255])
  near((await transform(clear, { convert: 'jpg', background: '#08f' })).pixel, [0, 136, 255, 255])
  near((await transform(clear, { background: '#0088ff' })).pixel, [0, 136, 255, 255])
  near((await transform(clear, { quality: 90 })).pixel.slice(3), [0])
  near(
    (await transform(png, { resizeAndPad: [60, 60], convert: 'jpg' })).pixel,
    [255, 255, 255, 255],
  )
  near(
    (await transform(png, { resizeAndPad: [60, 60], background: '#0088ff' })).pixel,
    [0, 136, 255, 255],
  )
  near((await transform(png, { resizeAndPad: [60, 60] })).pixel.slice(3), [0])
})

test('EXIF and colour profile are removed, or kept on request; photos are always upright', async (t) => {
  const transform = await transformer(t)
  const photo = await createSharp({
    create: { width: 40, height: 20, channels: 3, background: '#00ff00' },
  })
    .withExif({ IFD0: { Copyright: 'me' }, IFD3: { GPSLatitudeRef: 'N' } })
    .withMetadata({ orientation: 6 })
    .withIccProfile('p3')
    .jpeg({ quality: 100 })
    .toBuffer()
  const kept = async (...given: [Transformation, { keep?: ('exif' | 'icc')[] }?]) => {
    const { exif, icc, orientation = 1, width, height, pixel } = await transform(photo, ...given)
    // Read through its profile, the colour is the same.
    near(pixel, [0, 255, 0], 20)
    assert.deepEqual([width, height, orientation], [20, 40, 1])
    return [exif?.includes('me') ?? false, icc !== undefined]
  }
  for (const convert of ['jpg', 'png', 'webp'] as const) {
    assert.deepEqual(await kept({ convert }), [false, false])
    assert.deepEqual(await kept({ convert, keep: ['exif'] }), [true, false])
    assert.deepEqual(await kept({ convert, keep: ['icc'] }), [false, true])
    assert.deepEqual(await kept({ convert }, { keep: ['exif', 'icc'] }), [true, true])
    assert.deepEqual(await kept({ convert, keep: [] }, { keep: ['exif', 'icc'] }), [false, false])
  }
})

test('the frames of an animation count together against the limit if all are read', async (t) => {
  const transform = await transformer(t)
  const gif = await createSharp([png, await createSharp(png).negate().toBuffer()], {
    join: { animated: true },
  })
    .gif()
    .toBuffer()
  const limit = { limitInputPixels: 120 * 80 }
  await assert.rejects(transform(gif, { resizeToFit: [40, 40] }, limit), {
    code: 'INVARIABLE',
    message:
      /^a\.jpg cannot be transformed: it has 120 × 80 pixels in 2 frames, and limitInputPixels is 9600/,
    publicMessage:
      'a.jpg has 120 × 80 pixels in 2 frames; at most 9600 in all are accepted. Choose a smaller one.',
  })
  assert.equal((await transform(gif, { convert: 'png' }, limit)).width, 120)
})

test('wrong options of images are refused at start-up', () => {
  const wrong: readonly (() => unknown)[] = [
    ...[{ background: 'white' }, { background: '#12' }, { keep: 'exif' }, { keep: ['xmp'] }].map(
      (variantInfo) => () => hasOneAttached({ variantInfo: variantInfo as never }),
    ),
    () => sharp({ keep: ['all' as never] }),
    () => sharp({ limitInputPixels: 0 }),
  ]
  for (const call of wrong) assert.throws(call, ConfigurationError)
})

test('an image is tried again if the temporary folder is full, for it is not broken', async (t) => {
  const tiny = await tinyDisk(8)
  if (tiny === null) return t.skip('mounting a small disk is not allowed here')
  const app = storage({ convert: 'png' })
  useTemporaryFolder(t, tiny.folder)
  t.after(async () => {
    await app.close()
    await tiny.close()
  })
  await app.migrate()
  await app.record('User', 1).photo.attachLater({
    io: await noise.clone().resize(900, 900).jpeg().toBuffer(),
    filename: 'a.jpg',
  })
  await tiny.fill(6.5 * 1024 ** 2)
  const { retried, failed } = await app.drain()
  assert.deepEqual([retried, failed], [1, 0])
  const [upload] = await app.delayedUploads.list()
  assert.match(
    upload?.lastError ?? '',
    /a\.jpg could not be written to the temporary folder .*Its disk is full/,
  )
})

after(closeServers)

test('bytes that changed in the database are not transformed and attached', async (t) => {
  const copying = {
    async transform(input: string, output: string) {
      await copyFile(input, output)
      return { contentType: 'image/png', extension: 'png' }
    },
  }
  const transformed = { User: { photo: hasOneAttached({ variantInfo: { resizeToFit: [1, 1] } }) } }
  const { storage, service, database } = await testStorage(transformed, {
    images: copying as never,
    retries: { attempts: 1 },
  })
  t.after(() => storage.close())
  await storage.record('User', 1).photo.attachLater(text('good'))
  database.exec("update activestorage_delayed_chunks set data = cast('evil' as blob)")
  await assert.rejects(storage.drain({ throwOnError: true }), { code: 'INTEGRITY' })
  assert.equal(service.objects.size, 0)
})
