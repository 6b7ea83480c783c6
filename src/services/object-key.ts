import { InvalidInputError } from '../errors.ts'

/** Throws unless the key is safe on every service: relative, no `.` or `..`, no NUL. */
export function checkKey(key: string): void {
  const parts = key.split('/')
  if (
    key.trim() === '' ||
    /[\0\\]/.test(key) ||
    Buffer.byteLength(key) > 255 ||
    parts.some((part) => part === '' || part === '.' || part === '..')
  )
    throw new InvalidInputError(
      `The key ${JSON.stringify(key.slice(0, 100))} is not safe: it must be 1 to 255 bytes, relative, without empty, '.' or '..' segments. Look at keyPrefix and useFilename.`,
    )
}
