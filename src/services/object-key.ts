import { InvalidInputError } from '../errors/errors.ts'

/** Bytes. */
export const MAX_KEY_BYTES = 255

/** Safe on every service: relative, no `.` or `..`, no NUL. */
export function isSafeKey(key: string): boolean {
  const parts = key.split('/')
  return (
    key.trim() !== '' &&
    !/[\0\\]/.test(key) &&
    Buffer.byteLength(key) <= MAX_KEY_BYTES &&
    !parts.some((part) => part === '' || part === '.' || part === '..')
  )
}

export function checkKey(key: string): void {
  if (!isSafeKey(key))
    throw new InvalidInputError(
      `The key ${JSON.stringify(key.slice(0, 100))} is not safe: it must be 1 to 255 bytes, relative, without empty, '.' or '..' segments. Look at keyPrefix and useFilename.`,
    )
}
