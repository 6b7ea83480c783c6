import { InvalidInputError } from '../errors/errors.ts'

/**
 * Throws InvalidInputError on an invalid range of bytes: one that is not `[start, end]` in whole
 * bytes from 0, or that begins after the last of `byteSize` bytes. Without `byteSize` the end of
 * the object is not checked. The services would otherwise send nothing, all bytes, or errors of
 * their own.
 */
export function checkRange(
  key: string,
  range: readonly [start: number, end: number] | undefined,
  byteSize?: number,
): void {
  if (range === undefined) return
  const [start, end] = range
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start)
    throw new InvalidInputError(
      `The range ${String(start)} to ${String(end)} of ${key} is invalid: give [start, end] in whole bytes, from 0, both inclusive.`,
    )
  if (byteSize !== undefined && start >= byteSize)
    throw new InvalidInputError(
      `The range ${start} to ${end} of ${key} begins after the last byte: the object has ${byteSize} bytes.`,
    )
}
