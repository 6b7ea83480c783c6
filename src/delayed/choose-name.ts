import { randomBytes } from 'node:crypto'
import { prefixKey } from '../blobs/blob-key.ts'
import { createDefaultFilename, insertSuffix, toSafeObjectName } from '../blobs/default-filename.ts'
import { truncateFilename } from '../blobs/filename.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { MAX_KEY_BYTES } from '../services/object-key.ts'
import { uploadErrorDetails } from './context.ts'
import type { UploadAttempt } from './upload-attempt.ts'

/**
 * Returns the name that `useFilename` gives a file, safe for a key; null: the key is random. Throws
 * ConfigurationError if the app's function returns no name.
 */
export async function chooseName(
  { definition, upload, record }: UploadAttempt,
  filename: string,
): Promise<string | null> {
  const { useFilename } = definition
  const { type, id, name: attachment } = upload.lane
  const name: unknown =
    typeof useFilename === 'function' ? await useFilename(record, filename) : useFilename
  if (name === false) return null
  if (name === true)
    return toSafeObjectName(
      createDefaultFilename(id, filename, definition.kind, { now: new Date() }),
    )
  if (typeof name !== 'string' || name.trim() === '')
    throw new ConfigurationError(
      `useFilename of ${type}.${attachment} returned no name: return a non-empty string.`,
      { details: uploadErrorDetails(upload, filename) },
    )
  return toSafeObjectName(name)
}

const SUFFIX_LENGTH = 9
/** The disk service makes folders of the first characters, where a shorter key would lie. */
const MIN_KEY_LENGTH = 5

/**
 * Returns a name that fits into a key together with the prefix. It gets a random suffix if it is
 * too short, and in every round but the first (0), in which it was taken.
 */
export function toObjectName(name: string, prefix: string | undefined, round: number): string {
  const maxBytes = MAX_KEY_BYTES - Buffer.byteLength(prefixKey(prefix, '')) - SUFFIX_LENGTH
  const fitting = maxBytes > SUFFIX_LENGTH ? truncateFilename(name, maxBytes) : name
  const isPlain = round === 0 && [...prefixKey(prefix, fitting)].length >= MIN_KEY_LENGTH
  return isPlain ? fitting : insertSuffix(fitting, randomBytes(4).toString('hex'))
}
