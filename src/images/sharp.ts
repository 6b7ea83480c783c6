import { open } from 'node:fs/promises'
import createSharp, { type Metadata, type Sharp } from 'sharp'
import {
  ConfigurationError,
  InvariableError,
  type ActiveStorageErrorOptions,
  type ErrorDetails,
} from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { formatFile } from '../errors/public-message.ts'
import { checkOptions } from '../options/check-options.ts'
import { requireVersion } from '../options/require-version.ts'
import { checkKeep, type ImageProcessor, type Transformation } from './image-processor.ts'

/** Formats that are written, by libvips' names. */
const outputFormats = {
  jpeg: { contentType: 'image/jpeg', extension: 'jpg' },
  png: { contentType: 'image/png', extension: 'png' },
  webp: { contentType: 'image/webp', extension: 'webp' },
  gif: { contentType: 'image/gif', extension: 'gif' },
  avif: { contentType: 'image/avif', extension: 'avif' },
} as const
type OutputFormat = keyof typeof outputFormats

const readableFormats = new Set([...Object.keys(outputFormats), 'heif', 'tiff'])

/** libvips stops a transformation after this time. */
const TIMEOUT_SECONDS = 60

/** Options of `sharp()`. */
export interface SharpOptions {
  /**
   * Images of more pixels are refused before any is decoded. Default 100 million. Frames of an
   * animation count together, because they are in memory together: 200 frames of 800 × 600 are 96
   * million.
   */
  readonly limitInputPixels?: number
  /**
   * `keep` of transformations that have none. Default []: EXIF is removed, and colours are
   * converted to sRGB.
   */
  readonly keep?: Transformation['keep']
}

/**
 * Creates an image processor on sharp (libvips). It reads JPEG, PNG, WebP, GIF, AVIF, HEIF and
 * TIFF, and refuses SVG and all else that libvips may load. Like browsers, it accepts images that
 * break rules of their format; cut-off images are refused. Without `convert` an image keeps its
 * format; HEIF and TIFF become PNG. It turns sharp's cache of open files off for the whole process.
 * Throws ConfigurationError on a wrong option.
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
      if (await isMarkup(input))
        throw refusal(details, 'it is markup, such as SVG, which is not accepted')
      try {
        const source = await inspect(input, transformation, limitInputPixels, details)
        signal?.throwIfAborted()
        const image = createSharp(input, {
          limitInputPixels,
          failOn: 'error',
          animated: source.animated,
        })
        apply(image, { ...transformation, keep: transformation.keep ?? keep }, source.target)
        await image.timeout({ seconds: TIMEOUT_SECONDS }).toFile(output)
        return outputFormats[source.target]
      } catch (error) {
        signal?.throwIfAborted()
        if (error instanceof InvariableError) throw error
        // The other lines of libvips' messages name functions of its own.
        throw refusal(details, messageOf(error).split('\n')[0] ?? '', { cause: error })
      }
    },
  }
}

function refusal(
  details: ErrorDetails,
  reason: string,
  options: ActiveStorageErrorOptions = {},
): InvariableError {
  const name = details.filename ?? 'The image'
  return new InvariableError(`${name} cannot be transformed: ${reason}.`, { ...options, details })
}

/** Reads the header alone, and refuses other formats and images with too many pixels. */
async function inspect(
  input: string,
  { convert }: Transformation,
  limitInputPixels: number,
  details: ErrorDetails,
): Promise<{ readonly target: OutputFormat; readonly animated: boolean }> {
  // libvips' own limit is switched off, so that the error below says what is accepted.
  const reader = createSharp(input, { limitInputPixels: false, failOn: 'error' })
  const metadata = await reader.metadata()
  const format = formatOf(metadata)
  if (!readableFormats.has(format)) throw refusal(details, `${format} images are not accepted`)
  const target = chooseTarget(format, convert)
  const animated =
    (format === 'gif' || format === 'webp') && (target === 'gif' || target === 'webp')
  const { size, pixels } = measureImage(metadata, animated)
  if (pixels > limitInputPixels)
    throw refusal(details, `it has ${size}, and limitInputPixels is ${limitInputPixels}`, {
      publicMessage: `${formatFile(details)} has ${size}; at most ${formatPixels(limitInputPixels)} in all are accepted. Choose a smaller one.`,
    })
  return { target, animated }
}

function chooseTarget(format: string, convert: Transformation['convert']): OutputFormat {
  if (convert !== undefined) return convert === 'jpg' ? 'jpeg' : convert
  return isOutputFormat(format) ? format : 'png'
}

function isOutputFormat(format: string): format is OutputFormat {
  return Object.hasOwn(outputFormats, format)
}

/** Adds the steps of a transformation to an image. */
function apply(image: Sharp, transformation: Transformation, target: OutputFormat): void {
  const { keep = [], quality } = transformation
  const background = transformation.background ?? (target === 'jpeg' ? '#ffffff' : undefined)
  image.autoOrient()
  resize(image, transformation, background)
  if (background !== undefined) image.flatten({ background })
  if (keep.includes('exif')) image.keepExif()
  if (keep.includes('icc')) image.keepIccProfile()
  image.toFormat(target, quality === undefined ? {} : { quality })
}

/**
 * Switches off libvips' cache, which keeps the files that it read last open. Deleted ones would
 * still use space on the disk.
 */
function disableFileCache(): void {
  const { memory, items } = createSharp.cache()
  createSharp.cache({ memory: memory.max, files: 0, items: items.max })
}

/** Names the format. libvips calls an AVIF a HEIF, because the container is the same. */
function formatOf({ format, compression }: Metadata): string {
  return format === 'heif' && compression === 'av1' ? 'avif' : format
}

/** Counts the pixels that will be in memory. */
function measureImage(
  { width, height, pages = 1 }: Metadata,
  animated: boolean,
): { size: string; pixels: number } {
  const size = `${width} × ${height} pixels`
  return animated && pages > 1
    ? { size: `${size} in ${pages} frames`, pixels: width * height * pages }
    : { size, pixels: width * height }
}

/** Writes a number of pixels, such as "100 million". */
const formatPixels = (pixels: number): string =>
  pixels < 1e6 ? String(pixels) : `${Math.floor(pixels / 1e5) / 10} million`

/**
 * Returns true for text such as SVG, which libvips would interpret. Its first bytes say so before
 * libvips sees the file.
 */
async function isMarkup(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0)
    return /^[\uFEFF\s]*</.test(buffer.subarray(0, bytesRead).toString('utf8'))
  } finally {
    await file.close()
  }
}

function resize(
  image: Sharp,
  transformation: Transformation,
  background: string | undefined,
): void {
  const { resizeToLimit, resizeToFit, resizeToFill, resizeAndPad, resizeToCover } = transformation
  if (resizeToLimit) image.resize(...resizeToLimit, { fit: 'inside', withoutEnlargement: true })
  if (resizeToFit) image.resize(...resizeToFit, { fit: 'inside' })
  if (resizeToFill) image.resize(...resizeToFill, { fit: 'cover', position: 'centre' })
  if (resizeAndPad)
    image.resize(...resizeAndPad, {
      fit: 'contain',
      background: background ?? { r: 0, g: 0, b: 0, alpha: 0 },
    })
  if (resizeToCover) image.resize(...resizeToCover, { fit: 'outside' })
}
