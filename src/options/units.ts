import { ConfigurationError } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'

/**
 * A size in bytes, as a number or text. KB, MB and GB are 1024-based, as in the body limits of
 * Express and Fastify.
 */
export type Size = number | `${number}${'' | ' '}${'B' | 'KB' | 'MB' | 'GB'}`

/**
 * A duration with its unit. A bare number is not accepted, because it could mean seconds or
 * milliseconds.
 */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const bytesPerUnit = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 }
const millisecondsPerUnit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads a number with a unit. Returns NaN for other text. */
function readUnit(
  text: unknown,
  pattern: RegExp,
  perUnit: Readonly<Record<string, number>>,
): number {
  const [, number, unit = ''] = (typeof text === 'string' ? pattern.exec(text) : null) ?? []
  return Number(number) * (perUnit[unit] ?? NaN)
}

/** Reads a size: whole bytes. Throws ConfigurationError, which names the option `where`. */
export function parseSize(size: Size, where: string): number {
  const bytes =
    typeof size === 'number'
      ? size
      : readUnit(size, /^(\d+(?:\.\d+)?) ?(B|KB|MB|GB)$/, bytesPerUnit)
  if (!(bytes > 0) || !Number.isFinite(bytes))
    throw new ConfigurationError(
      `${where} is ${formatValue(size)}: give bytes as a number, or text such as '10 MB'.`,
    )
  return Math.floor(bytes)
}

/** Reads a duration: milliseconds. Throws ConfigurationError, which names the option `where`. */
export function parseDuration(duration: Duration, where: string): number {
  const milliseconds = readUnit(duration, /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/, millisecondsPerUnit)
  if (Number.isNaN(milliseconds))
    throw new ConfigurationError(
      `${where} is ${formatValue(duration)}: give a duration with its unit, such as '24h'.`,
    )
  return milliseconds
}

/**
 * Formats milliseconds for people, in the largest unit that gives 2 or more: "500 ms", "90 s", "3
 * min", "5 h", "2 d".
 */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.max(0, Math.round(milliseconds))} ms`
  if (milliseconds < 120_000) return `${Math.round(milliseconds / 100) / 10} s`
  if (milliseconds < 7_200_000) return `${Math.round(milliseconds / 60_000)} min`
  if (milliseconds < 172_800_000) return `${Math.round(milliseconds / 3_600_000)} h`
  return `${Math.round(milliseconds / 86_400_000)} d`
}
