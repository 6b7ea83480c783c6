import { ConfigurationError, type ErrorDetails } from '../errors/errors.ts'
import { checkOptions } from '../options/check-options.ts'

type Box = readonly [width: number | null, height: number | null]

/** One resize at most, then the output's format. Sizes in pixels, quality from 1 to 100. Rails' names in camelCase. */
export interface Transformation {
  /** Fits inside, never larger than the original. */
  readonly resizeToLimit?: Box
  /** Fits inside, enlarged if need be. */
  readonly resizeToFit?: Box
  /** Fills the box and cuts off what hangs over. */
  readonly resizeToFill?: readonly [number, number]
  /** Fits inside and fills the rest with `background`, or leaves it transparent where the format can. */
  readonly resizeAndPad?: readonly [number, number]
  /** Covers the box, nothing cut off. */
  readonly resizeToCover?: readonly [number, number]
  readonly convert?: 'jpg' | 'png' | 'webp' | 'avif' | 'gif'
  readonly quality?: number
  /**
   * Fills what is transparent: '#rgb' or '#rrggbb'. Default: transparency stays where the new format has it, and is white
   * in a JPEG.
   */
  readonly background?: string
  /**
   * What the new image keeps of the original's: 'exif' (camera, time and place; also the author) and 'icc' (the colour
   * profile). Default: the image processor's, which keeps nothing: then colours are converted to sRGB. The orientation is
   * always applied to the pixels.
   */
  readonly keep?: readonly ('exif' | 'icc')[]
}

/** Turns one temporary file into another. Throws InvariableError on what is no image, or a broken or forbidden one. */
export interface ImageProcessor {
  readonly name: string
  transform(
    input: string,
    output: string,
    transformation: Transformation,
    options?: {
      readonly signal?: AbortSignal
      /** Whose file it is: for errors. */
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

export function checkTransformation(value: unknown, where: string): void {
  const wrong = (text: string): ConfigurationError => new ConfigurationError(`${where}: ${text}`)
  checkOptions(value, [...resizeNames, 'convert', 'quality', 'background', 'keep'], where)
  const given = value as Record<string, unknown>
  if (Object.values(given).every((each) => each === undefined))
    throw wrong(
      'it is empty, which changes nothing. Give such as { resizeToFit: [400, 400] }, or leave it out.',
    )
  const asked = resizeNames.filter((key) => given[key] !== undefined)
  if (asked.length > 1) throw wrong(`${asked.join(' and ')} exclude each other.`)
  for (const key of asked) {
    const box = given[key]
    const nullable = key === 'resizeToLimit' || key === 'resizeToFit'
    const fine = (side: unknown): boolean =>
      (side === null && nullable) || (Number.isInteger(side) && Number(side) > 0)
    if (
      !Array.isArray(box) ||
      box.length !== 2 ||
      !box.every(fine) ||
      box.every((side) => side === null)
    )
      throw wrong(`${key} takes [width, height] in whole pixels.`)
  }
  if (given['convert'] !== undefined && !convertFormats.includes(String(given['convert'])))
    throw wrong(`convert is one of ${convertFormats.join(', ')}.`)
  const { quality } = given
  if (
    quality !== undefined &&
    !(Number.isInteger(quality) && Number(quality) >= 1 && Number(quality) <= 100)
  )
    throw wrong('quality is a whole number from 1 to 100.')
  const { background } = given
  if (
    background !== undefined &&
    !(typeof background === 'string' && /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.test(background))
  )
    throw wrong(`background is ${JSON.stringify(background)}: give a colour such as '#ffffff'.`)
  checkKeep(given['keep'], where)
}

export function checkKeep(keep: unknown, where: string): void {
  if (
    keep !== undefined &&
    !(Array.isArray(keep) && keep.every((each) => keepNames.includes(each as string)))
  )
    throw new ConfigurationError(`${where}: keep is a list of 'exif' and 'icc'; [] keeps neither.`)
}
