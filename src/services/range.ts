import { InvalidInputError } from '../errors/errors.ts'

/**
 * Throws InvalidInputError on an invalid range of bytes. Without this check one service would send
 * nothing, another all bytes, and a third an error of Node's.
 */
export function checkRange(
  key: string,
  range: readonly [start: number, end: number] | undefined,
): void {
  if (range === undefined) return
  const [start, end] = range
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start)
    throw new InvalidInputError(
      `The range ${String(start)} to ${String(end)} of ${key} is invalid: give [start, end] in whole bytes, from 0, both inclusive.`,
    )
}
