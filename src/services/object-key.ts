import { InvalidInputError } from '../errors/errors.ts'

/** Longest key in bytes, as Rails' column holds it. */
export const MAX_KEY_BYTES = 255

/**
 * Returns true for a key that every service can store: relative, without NUL, backslash or empty,
 * `.` and `..` segments.
 */
export function isSafeKey(key: string): boolean {
  const segments = key.split('/')
  return (
    key.trim() !== '' &&
    !/[\0\\]/.test(key) &&
    Buffer.byteLength(key) <= MAX_KEY_BYTES &&
    !segments.some((segment) => segment === '' || segment === '.' || segment === '..')
  )
}

/** Throws InvalidInputError on a key that is not safe. */
export function checkKey(key: string): void {
  if (!isSafeKey(key))
    throw new InvalidInputError(
      `The key ${JSON.stringify(key.slice(0, 100))} is not safe: it must be 1 to 255 bytes, relative, without empty, '.' or '..' segments. Check keyPrefix and useFilename.`,
    )
}

/** Throws InvalidInputError on an empty prefix of keys, and on one that no safe key begins with. */
export function checkPrefix(prefix: string): void {
  if (prefix === '') throw new InvalidInputError('An empty prefix would delete every object.')
  checkKey(prefix.replace(/\/$/, ''))
}
