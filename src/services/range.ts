import { InvalidInputError } from '../errors/errors.ts'

/** What is no range would be nothing on one service, all bytes on another, and an error of Node's on a third. */
export function checkRange(
  key: string,
  range: readonly [start: number, end: number] | undefined,
): void {
  if (range === undefined) return
  const [start, end] = range
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start)
    throw new InvalidInputError(
      `The range ${String(start)} to ${String(end)} of ${key} is none: give [start, end] in whole bytes, from 0, both inclusive.`,
    )
}
