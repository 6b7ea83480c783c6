import { ConfigurationError } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'

/** Bytes as a number, or text. KB, MB and GB are 1024-based, as Express' and Fastify's body limits. */
export type Size = number | `${number}${'' | ' '}${'B' | 'KB' | 'MB' | 'GB'}`

/** Always with its unit: a bare number would be read as seconds by some and milliseconds by others. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const bytesPerUnit = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 } as const
const millisecondsPerUnit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Bytes. `where` names the option in the error. */
export function parseSize(size: Size, where: string): number {
  const match = typeof size === 'number' ? null : /^(\d+(?:\.\d+)?) ?(B|KB|MB|GB)$/.exec(size)
  const bytes =
    typeof size === 'number'
      ? size
      : match === null
        ? NaN
        : Number(match[1]) * bytesPerUnit[match[2] as keyof typeof bytesPerUnit]
  if (!(bytes > 0) || !Number.isFinite(bytes))
    throw new ConfigurationError(
      `${where} is ${formatValue(size)}: give bytes as a number, or text such as '10 MB'.`,
    )
  return Math.floor(bytes)
}

/** Milliseconds. `where` names the option in the error. */
export function parseDuration(duration: Duration, where: string): number {
  const match = typeof duration === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration) : null
  if (match === null)
    throw new ConfigurationError(
      `${where} is ${formatValue(duration)}: give a duration with its unit, such as '24h'.`,
    )
  return Number(match[1]) * millisecondsPerUnit[match[2] as keyof typeof millisecondsPerUnit]
}

/** Writes a duration for messages, such as "60 s". */
export function formatDuration(milliseconds: number): string {
  return `${milliseconds / 1000} s`
}
