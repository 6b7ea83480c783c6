import { FileNotFoundError } from '../errors/errors.ts'
import { checkKey, checkPrefix } from './object-key.ts'
import { checkRange } from './range.ts'
import type { Service } from './service.ts'
import { verifyBytes } from './verify-bytes.ts'

/** A service in memory that shows its objects. */
export interface MemoryService extends Service {
  /** Objects by key. */
  readonly objects: ReadonlyMap<string, Buffer>
}

/** Creates a service that keeps objects in this process' memory, for tests. It has no URLs. */
export function memory(): MemoryService {
  const objects = new Map<string, Buffer>()
  const find = (key: string): Buffer => {
    const found = objects.get(key)
    if (found === undefined) throw new FileNotFoundError(`There is no object ${key} in memory.`)
    return found
  }
  return {
    objects,
    async upload(key, body, options) {
      checkKey(key)
      objects.set(key, await readAll(verifyBytes(key, body, options)))
    },
    async download(key, { range } = {}) {
      checkKey(key)
      checkRange(key, range)
      const data = find(key)
      checkRange(key, range, data.length)
      return (async function* (): AsyncGenerator<Uint8Array> {
        yield range === undefined ? data : data.subarray(range[0], range[1] + 1)
      })()
    },
    async delete(key) {
      checkKey(key)
      objects.delete(key)
    },
    async exists(key) {
      checkKey(key)
      return objects.has(key)
    },
    url: () => Promise.resolve(null),
    urlForDirectUpload: () => Promise.resolve(null),
    async deletePrefixed(prefix) {
      checkPrefix(prefix)
      for (const key of objects.keys()) if (key.startsWith(prefix)) objects.delete(key)
    },
    async compose(sources, key) {
      checkKey(key)
      objects.set(key, Buffer.concat(sources.map(find)))
    },
    async copy(source, key) {
      checkKey(key)
      objects.set(key, find(source))
    },
  }
}

/** Copies each piece, because its owner may fill it again. */
async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(piece.slice())
  return Buffer.concat(pieces)
}
