import { ConfigurationError, type ErrorDetails } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'
import { checkOptions } from '../options/check-options.ts'

type Box = readonly [width: number | null, height: number | null]

/**
 * A change to an image: at most one resize, then the output's format. Sizes are in pixels. The
 * names are Rails' in camelCase.
 */
export interface Transformation {
  /** Fits the image inside the box, and never enlarges it. null leaves a side free. */
  readonly resizeToLimit?: Box
  /** Fits the image inside the box, and enlarges it if it is smaller. null leaves a side free. */
  readonly resizeToFit?: Box
  /** Fills the box and cuts off the rest. */
  readonly resizeToFill?: readonly [width: number, height: number]
  /**
   * Fits the image inside the box and fills the rest with `background`, or leaves it transparent if
   * the format can.
   */
  readonly resizeAndPad?: readonly [width: number, height: number]
  /** Covers the box and cuts nothing off. */
  readonly resizeToCover?: readonly [width: number, height: number]
  /** Format of the new image. Default: the original's. */
  readonly convert?: 'jpg' | 'png' | 'webp' | 'avif' | 'gif'
  /** From 1 to 100. Default: the image processor's for the format. */
  readonly quality?: number
  /**
   * Colour that fills transparent pixels: '#rgb' or '#rrggbb'. Default: they stay transparent if
   * the new format can, and are white in a JPEG.
   */
  readonly background?: string
  /**
   * Metadata that the new image keeps: 'exif' (camera, time and place, author) and 'icc' (the
   * colour profile). Default: the image processor's. Without 'icc' colours are converted to sRGB.
   * The orientation is always applied to the pixels.
   */
  readonly keep?: readonly ('exif' | 'icc')[]
}

/** Transforms images, such as with libvips. Pass one as the option `images`; `sharp` is one. */
export interface ImageProcessor {
  /** Name in errors and logs. */
  readonly name: string
  /**
   * Reads the image at the path `input`, transforms it and writes it to the path `output`. Returns
   * the new type and the extension without a dot. Throws InvariableError on a file that is no
   * image, or one that is broken or forbidden: it is not retried. Other errors are retried.
   */
  transform(
    input: string,
    output: string,
    transformation: Transformation,
    options?: {
      readonly signal?: AbortSignal
      /** Record, attachment and file, for errors. */
      readonly details?: ErrorDetails
    },
  ): Promise<{ readonly contentType: string; readonly extension: string }>
}

const resizeNames = [
  'resizeToLimit',
  'resizeToFit',
  'resizeToFill',
  'resizeAndPad',
  'resizeToCover',
]
const convertFormats = ['jpg', 'png', 'webp', 'avif', 'gif']
const keepNames = ['exif', 'icc']

/** Checks the option `variantInfo`. Throws ConfigurationError that begins with `where`. */
export function checkTransformation(value: unknown, where: string): void {
  checkOptions(value, [...resizeNames, 'convert', 'quality', 'background', 'keep'], where)
  const given: Readonly<Record<string, unknown>> = Object(value)
  const wrong = (text: string): ConfigurationError => new ConfigurationError(`${where}: ${text}`)
  if (Object.values(given).every((each) => each === undefined))
    throw wrong('it is empty and changes nothing. Give { resizeToFit: [400, 400] } or the like.')
  const resizes = resizeNames.filter((name) => given[name] !== undefined)
  if (resizes.length > 1) throw wrong(`${resizes.join(' and ')} exclude each other: give one.`)
  for (const name of resizes)
    if (!isBox(given[name], { canBeNull: name === 'resizeToLimit' || name === 'resizeToFit' }))
      throw wrong(`${name} takes [width, height] in whole pixels.`)
  const { convert, quality, background } = given
  if (convert !== undefined && !convertFormats.includes(String(convert)))
    throw wrong(`convert is one of ${convertFormats.join(', ')}.`)
  if (quality !== undefined && !(isWholeNumber(quality) && quality >= 1 && quality <= 100))
    throw wrong('quality is a whole number from 1 to 100.')
  if (
    background !== undefined &&
    !(typeof background === 'string' && /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.test(background))
  )
    throw wrong(`background is ${formatValue(background)}: give a colour such as '#ffffff'.`)
  checkKeep(given['keep'], where)
}

/** Checks the option `keep`. Throws ConfigurationError that begins with `where`. */
export function checkKeep(keep: unknown, where: string): void {
  if (
    keep !== undefined &&
    !(Array.isArray(keep) && keep.every((each) => keepNames.includes(each)))
  )
    throw new ConfigurationError(`${where}: keep is a list of 'exif' and 'icc'; [] keeps neither.`)
}

function isBox(value: unknown, { canBeNull }: { readonly canBeNull: boolean }): boolean {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    value.every((side) => (side === null && canBeNull) || (isWholeNumber(side) && side > 0)) &&
    value.some((side) => side !== null)
  )
}

function isWholeNumber(value: unknown): value is number {
  return Number.isInteger(value)
}
