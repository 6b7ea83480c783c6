import { createHash } from 'node:crypto'

/** Base64 MD5 of the bytes. */
export const md5 = (data: string | Uint8Array): string =>
  createHash('md5').update(data).digest('base64')

/** Yields the bytes in pieces of 64 KB. */
export async function* pieces(data: string | Uint8Array): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(data)
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

/** Matches an error of the library by its code. */
export const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof Error && 'code' in error && error.code === expected
