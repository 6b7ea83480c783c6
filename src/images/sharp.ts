import { open } from 'node:fs/promises'
import createSharp, { type Metadata, type Sharp } from 'sharp'
import {
  ConfigurationError,
  InvariableError,
  type ActiveStorageErrorOptions,
} from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { requireVersion } from '../options/require-version.ts'
import { checkOptions } from '../options/check-options.ts'
import { formatFile } from '../errors/public-message.ts'
import { checkKeep, type ImageProcessor, type Transformation } from './image-processor.ts'

const outputFormats = new Map([
  ['jpeg', { contentType: 'image/jpeg', extension: 'jpg' }],
  ['png', { contentType: 'image/png', extension: 'png' }],
  ['webp', { contentType: 'image/webp', extension: 'webp' }],
  ['gif', { contentType: 'image/gif', extension: 'gif' }],
  ['avif', { contentType: 'image/avif', extension: 'avif' }],
])
const readableFormats = new Set([...outputFormats.keys(), 'heif', 'tiff'])

/** The options of `sharp()`. */
export interface SharpOptions {
  /**
   * An image of more pixels is refused, before any is decoded. Default 100 million. Frames of an animation count together,
   * as they lie in memory together: 200 frames of 800 × 600 are 96 million.
   */
  readonly limitInputPixels?: number
  /** For transformations without a `keep` of their own. Default []: EXIF is stripped, and colours are converted to sRGB. */
  readonly keep?: Transformation['keep']
}

/**
 * Images by sharp (libvips). Reads JPEG, PNG, WebP, GIF, AVIF, HEIF and TIFF only: SVG and whatever else libvips may load
 * is refused. What only breaks the rules of its format is read, as browsers do; what is cut off is refused. Without
 * `convert` an image keeps its format; HEIF and TIFF become PNG. sharp's cache of open files is off from then on, for the
 * whole process. Throws ConfigurationError on a wrong option.
 *
 * @example
 * import { sharp } from 'activestorage-delayed/images/sharp'
 *
 * const images = sharp({ limitInputPixels: 50_000_000, keep: ['icc'] })
 */
export function sharp(given: SharpOptions = {}): ImageProcessor {
  checkOptions(given, ['limitInputPixels', 'keep'], 'sharp')
  requireVersion('sharp()', 'sharp', '0.34.0', createSharp.versions.sharp)
  const { limitInputPixels = 100_000_000, keep = [] } = given
  checkKeep(keep, 'sharp')
  if (!(Number.isSafeInteger(limitInputPixels) && limitInputPixels > 0))
    throw new ConfigurationError('sharp: limitInputPixels is a whole number above 0.')
  disableFileCache()
  return {
    name: 'sharp',
    async transform(input, output, transformation, { signal, details = {} } = {}) {
      const refused = (why: string, options: ActiveStorageErrorOptions = {}): InvariableError =>
        new InvariableError(`${details.filename ?? 'The image'} cannot be transformed: ${why}.`, {
          ...options,
          details,
        })
      if (await isMarkup(input)) throw refused('it is markup, such as SVG, which is not accepted')
      try {
        // Reads the header alone, so that the limit is told in words of ours.
        const metadata = await createSharp(input, {
          limitInputPixels: false,
          failOn: 'error',
        }).metadata()
        const format = formatOf(metadata)
        if (!readableFormats.has(format)) throw refused(`${format} images are not accepted`)
        const target =
          transformation.convert === 'jpg'
            ? 'jpeg'
            : (transformation.convert ?? (outputFormats.has(format) ? format : 'png'))
        const animated =
          (format === 'gif' || format === 'webp') && (target === 'gif' || target === 'webp')
        const { size, pixels } = measureImage(metadata, animated)
        if (pixels > limitInputPixels)
          throw refused(`it has ${size}, and limitInputPixels is ${limitInputPixels}`, {
            publicMessage: `${formatFile(details)} has ${size}; at most ${formatPixels(limitInputPixels)} in all are accepted. Choose a smaller one.`,
          })
        signal?.throwIfAborted()
        const image = createSharp(input, {
          limitInputPixels,
          failOn: 'error',
          animated,
        }).autoOrient()
        const background = transformation.background ?? (target === 'jpeg' ? '#ffffff' : undefined)
        resize(image, transformation, background)
        if (background !== undefined) image.flatten({ background })
        const kept = transformation.keep ?? keep
        if (kept.includes('exif')) image.keepExif()
        if (kept.includes('icc')) image.keepIccProfile()
        await image
          .toFormat(
            target as 'jpeg',
            transformation.quality === undefined ? {} : { quality: transformation.quality },
          )
          .timeout({ seconds: 60 })
          .toFile(output)
        return (
          outputFormats.get(target) ?? { contentType: 'application/octet-stream', extension: 'bin' }
        )
      } catch (error) {
        signal?.throwIfAborted()
        if (error instanceof InvariableError) throw error
        // The first line says what, the others where in libvips.
        throw refused(messageOf(error).split('\n')[0] ?? '', { cause: error })
      }
    },
  }
}

/** libvips keeps the files it read last open: once they are deleted, they still take their room on the disk. */
function disableFileCache(): void {
  const { memory, items } = createSharp.cache()
  createSharp.cache({ memory: memory.max, files: 0, items: items.max })
}

/** libvips calls an AVIF a HEIF, as the container is the same. */
function formatOf({ format, compression }: Metadata): string {
  return format === 'heif' && compression === 'av1' ? 'avif' : format
}

/** What has to lie in memory. */
function measureImage(
  { width, height, pages = 1 }: Metadata,
  animated: boolean,
): { size: string; pixels: number } {
  const size = `${width} × ${height} pixels`
  return animated && pages > 1
    ? { size: `${size} in ${pages} frames`, pixels: width * height * pages }
    : { size, pixels: width * height }
}

/** "100 million". */
const formatPixels = (pixels: number): string =>
  pixels < 1e6 ? String(pixels) : `${Math.floor(pixels / 1e5) / 10} million`

/** SVG is text that libvips would run; it is told by its first bytes, before libvips sees the file. */
async function isMarkup(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0)
    return /^[\uFEFF\s]*</.test(buffer.subarray(0, bytesRead).toString('utf8'))
  } finally {
    await file.close()
  }
}

function resize(image: Sharp, t: Transformation, background: string | undefined): void {
  if (t.resizeToLimit) image.resize(...t.resizeToLimit, { fit: 'inside', withoutEnlargement: true })
  if (t.resizeToFit) image.resize(...t.resizeToFit, { fit: 'inside' })
  if (t.resizeToFill) image.resize(...t.resizeToFill, { fit: 'cover', position: 'centre' })
  if (t.resizeAndPad)
    image.resize(...t.resizeAndPad, {
      fit: 'contain',
      background: background ?? { r: 0, g: 0, b: 0, alpha: 0 },
    })
  if (t.resizeToCover) image.resize(...t.resizeToCover, { fit: 'outside' })
}
