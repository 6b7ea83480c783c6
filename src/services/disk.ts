import { ConfigurationError } from '../errors/errors.ts'
import { checkOptions } from '../options/check-options.ts'
import { DiskFolder } from './disk-folder.ts'
import { checkPrefix } from './object-key.ts'
import { checkRange } from './range.ts'
import type { Service } from './service.ts'
import { verifyBytes } from './verify-bytes.ts'

/** Options of `disk`. */
export interface DiskOptions {
  /** Folder of the files. It is created with the first one. */
  readonly root: string
  /** true: URLs of its files never expire. Default false. */
  readonly public?: boolean
}

/**
 * Creates a service on a folder of files, laid out as Rails' Disk service does. It has no URLs of
 * its own: the app serves its files. Throws ConfigurationError without a `root`.
 */
export function disk(options: DiskOptions): Service {
  checkOptions(options, ['root', 'public'], 'disk')
  const { root } = options
  if (typeof root !== 'string' || root === '')
    throw new ConfigurationError(
      "disk: root is missing: give the folder of the files, such as disk({ root: 'storage' }).",
    )
  const folder = new DiskFolder(root)
  return {
    public: options.public === true,
    upload: (key, body, given) => folder.write(key, verifyBytes(key, body, given), given),
    async download(key, { range, signal } = {}) {
      checkRange(key, range)
      return folder.read(key, range, signal)
    },
    delete: (key, { signal } = {}) => folder.delete(key, signal),
    exists: (key, { signal } = {}) => folder.exists(key, signal),
    url: () => Promise.resolve(null),
    urlForDirectUpload: () => Promise.resolve(null),
    async deletePrefixed(prefix, { signal } = {}) {
      checkPrefix(prefix)
      await folder.deletePrefixed(prefix, signal)
    },
    async compose(sources, key, { signal } = {}) {
      const joined = async function* (): AsyncGenerator<Uint8Array> {
        for (const source of sources) yield* await folder.read(source, undefined, signal)
      }
      await folder.write(key, joined(), signal === undefined ? {} : { signal })
    },
    async copy(source, key, { signal } = {}) {
      const bytes = await folder.read(source, undefined, signal)
      await folder.write(key, bytes, signal === undefined ? {} : { signal })
    },
  }
}
