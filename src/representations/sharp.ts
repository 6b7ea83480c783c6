import { open } from 'node:fs/promises'
import createSharp from 'sharp'
import { InvariableError } from '../errors.ts'
import { messageOf } from '../message.ts'
import { checkOptions } from '../options.ts'
import type { ImageProcessor, Transformation } from './image-processor.ts'

const formats = new Map([
  ['jpeg', { contentType: 'image/jpeg', extension: 'jpg' }],
  ['png', { contentType: 'image/png', extension: 'png' }],
  ['webp', { contentType: 'image/webp', extension: 'webp' }],
  ['gif', { contentType: 'image/gif', extension: 'gif' }],
  ['avif', { contentType: 'image/avif', extension: 'avif' }],
])
const readable = new Set([...formats.keys(), 'heif', 'tiff'])

/**
 * Images by sharp (libvips). Reads JPEG, PNG, WebP, GIF, AVIF, HEIF and TIFF only: SVG and whatever else libvips may load
 * is refused. `limitInputPixels`: default 100 million. Throws ConfigurationError on an unknown option.
 */
export function sharp(given: { readonly limitInputPixels?: number } = {}): ImageProcessor {
  checkOptions(given, ['limitInputPixels'], 'sharp')
  const { limitInputPixels = 100_000_000 } = given
  return {
    name: 'sharp',
    async transform(input, output, transformation, { signal } = {}) {
      await refuseText(input)
      try {
        const options = { limitInputPixels, failOn: 'warning' as const }
        const { format = '' } = await createSharp(input, options).metadata()
        if (!readable.has(format)) throw new Error(`${format || 'unknown'} images are not accepted`)
        const target = transformation.convert === 'jpg' ? 'jpeg' : (transformation.convert ?? (formats.has(format) ? format : 'png'))
        const animated = (format === 'gif' || format === 'webp') && (target === 'gif' || target === 'webp')
        signal?.throwIfAborted()
        await resized(createSharp(input, { ...options, animated }).autoOrient(), transformation)
          .toFormat(target as 'jpeg', transformation.quality === undefined ? {} : { quality: transformation.quality })
          .timeout({ seconds: 60 })
          .toFile(output)
        return formats.get(target) ?? { contentType: 'application/octet-stream', extension: 'bin' }
      } catch (error) {
        signal?.throwIfAborted()
        throw new InvariableError(`The image cannot be transformed: ${messageOf(error)}.`, {
          cause: error,
        })
      }
    },
  }
}

/** SVG is text that libvips would run; it is told by its first bytes, before libvips sees the file. */
async function refuseText(path: string): Promise<void> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0)
    if (/^[\uFEFF\s]*</.test(buffer.subarray(0, bytesRead).toString('utf8')))
      throw new InvariableError('The image cannot be transformed: it is markup, such as SVG, which is not accepted.')
  } finally {
    await file.close()
  }
}

function resized(image: ReturnType<typeof createSharp>, t: Transformation): ReturnType<typeof createSharp> {
  if (t.resizeToLimit) return image.resize(...t.resizeToLimit, { fit: 'inside', withoutEnlargement: true })
  if (t.resizeToFit) return image.resize(...t.resizeToFit, { fit: 'inside' })
  if (t.resizeToFill) return image.resize(...t.resizeToFill, { fit: 'cover', position: 'centre' })
  if (t.resizeAndPad) return image.resize(...t.resizeAndPad, { fit: 'contain', background: { r: 0, g: 0, b: 0, alpha: 0 } })
  if (t.resizeToCover) return image.resize(...t.resizeToCover, { fit: 'outside' })
  return image
}
