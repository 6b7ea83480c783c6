import { createHash } from 'node:crypto'
import type { Service, UploadOptions } from '../../services/service.ts'

/** Defines one test. Its service is closed when the test has passed or failed. */
export type DefineTest = (name: string, run: (service: Service) => Promise<void>) => unknown

/** Base64 MD5 of the bytes. */
export const toChecksum = (data: Uint8Array): string =>
  createHash('md5').update(data).digest('base64')

async function* chunks(data: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536)
}

/** Stores an object of `data`, with the right size and checksum unless `options` has others. */
export async function put(
  service: Service,
  key: string,
  data: Uint8Array,
  options: Partial<UploadOptions> = {},
): Promise<void> {
  await service.upload(key, chunks(data), {
    byteSize: data.length,
    checksum: toChecksum(data),
    contentType: 'text/plain',
    ...options,
  })
}

/** Reads an object, or a range of it. */
export async function get(
  service: Service,
  key: string,
  range?: readonly [number, number],
): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of await service.download(key, range === undefined ? {} : { range }))
    parts.push(part)
  return Buffer.concat(parts)
}

/** Five bytes. */
export const hello: Buffer = Buffer.from('hello')
